# pyright: reportMissingImports=false
"""Makes every call with the client that openapi-python-client generated, and prints the answers.

Usage: python calls.py URL ROWS, with rows of the model ``stamp`` in JSON. It runs in the
generator's environment, which knows nothing of the service.
"""

import json
import struct
import sys
from io import BytesIO

from latentserve_client import Client
from latentserve_client.api.calls import (
    anomaly_score,
    decode,
    denoise,
    encode,
    reconstruct,
    sample,
)
from latentserve_client.api.health import healthz, list_errors, readyz, show_metrics, version
from latentserve_client.api.models import describe_model, list_models, show_report
from latentserve_client.models import (
    AnomalyScoreRequest,
    CodesRequest,
    InputsRequest,
    ProblemDocument,
    SampleRequest,
)
from latentserve_client.types import File

MODEL = "stamp"
url, rows = sys.argv[1], json.loads(sys.argv[2])
client = Client(base_url=url, raise_on_unexpected_status=True, timeout=60)
inputs = InputsRequest(inputs=rows, model=MODEL, ids=["a", 2])

codes = encode.sync(client=client, body=inputs)
values = [value for row in rows for value in row]
numbers = File(payload=BytesIO(struct.pack(f"<{len(values)}f", *values)))
unknown = encode.sync(client=client, body=InputsRequest(inputs=rows, model="stomp"))
assert isinstance(unknown, ProblemDocument)
answers = {
    "encode": codes,
    "encode_numbers": encode.sync(client=client, body=numbers, model=MODEL),
    "decode": decode.sync(client=client, body=CodesRequest(codes=codes.codes, model=MODEL)),
    "reconstruct": reconstruct.sync(client=client, body=inputs),
    "denoise": denoise.sync(client=client, body=inputs),
    "anomaly_score": anomaly_score.sync(
        client=client,
        body=AnomalyScoreRequest(inputs=rows, model=MODEL, false_positive_rate=0.05),
    ),
    "sample": sample.sync(
        client=client, body=SampleRequest(count=2, seed=9, temperature=0.5, model=MODEL)
    ),
    "list_models": list_models.sync(client=client),
    "describe_model": describe_model.sync(MODEL, client=client),
    "healthz": healthz.sync(client=client),
    "readyz": readyz.sync(client=client),
    "version": version.sync(client=client),
    "unknown_model": unknown,
}
pages = {
    "show_report": show_report.sync_detailed(MODEL, client=client).content.decode(),
    "show_metrics": show_metrics.sync_detailed(client=client).content.decode(),
    "list_errors": list_errors.sync_detailed(client=client).content.decode(),
}
json.dump({name: answer.to_dict() for name, answer in answers.items()} | pages, sys.stdout)
