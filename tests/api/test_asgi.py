"""Both ways to the pipeline give the same: over ASGI, and straight from the socket."""

import gzip
import json
import logging
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from tests.api.clients import JPEG, JSON, NPY, PNG, RAW, SHARED_LOOP, Client, npy_bytes, open_client
from tests.api.sockets import Answer, Server, open_server, request
from tests.bundles import LABELLED, PLANE, POSTCARD, STAMP, WAVE

pytestmark = SHARED_LOOP

LIMITS: dict[str, Any] = {
    "access_log": True,
    "log_level": "info",
    "max_body_bytes": 200_000,
    "max_rows": 1000,
    "max_queue_rows": 1000,
}
MANY = PLANE.rows(900)


@dataclass(frozen=True)
class Case:
    """A request, whichever way it is sent."""

    name: str
    status: int
    target: str = "/encode"
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


def fields(**values: Any) -> bytes:
    return json.dumps(values).encode()


def picture(media_type: str) -> bytes:
    stream = BytesIO()
    pixels = (STAMP.rows(1)[0, :, :, 0] * 255).astype(np.uint8)
    Image.fromarray(pixels).save(stream, media_type.removeprefix("image/"))
    return stream.getvalue()


ROWS = PLANE.rows(3).tolist()
GOOD = fields(model="plane", inputs=ROWS)
CALLS = {
    "encode": fields(model="plane", inputs=ROWS),
    "decode": fields(model="plane", codes=[[0.5, -1.0]], ids=["a"]),
    "reconstruct": fields(model="people", inputs=[[40.0, True, "Oslo"]]),
    "denoise": fields(model="stamp", inputs=STAMP.rows(2).tolist(), decimals=2),
    "anomaly-score": fields(model="plane", inputs=ROWS, false_positive_rate=0.1),
    "sample": fields(model="wave", count=2, seed=7),
}
TYPES = {JSON: fields(inputs=STAMP.rows(1).tolist()), NPY: npy_bytes(STAMP.rows(2)),
         RAW: STAMP.rows(2).tobytes(), PNG: picture(PNG), JPEG: picture(JPEG)}  # fmt: skip
STRANGE_IDS = ["mine", "a:b/c_d+e=f-g.h", "a b", "<script>", "x" * 128, "x" * 129]

CASES = [
    *(Case(f"{name} answers", 200, f"/{name}", body) for name, body in CALLS.items()),
    *(Case(f"{name} in {accept}", 200, f"/{name}", body, {"Accept": accept})
      for name, body in CALLS.items() for accept in (NPY, RAW)),
    *(Case(f"{sent} to {accept}", 200, "/reconstruct?model=stamp", body,
           {"Content-Type": sent, "Accept": accept})
      for sent, body in TYPES.items() for accept in (JSON, NPY, RAW, PNG, JPEG)),
    *(Case(f"{name} with {method}", 405, f"/{name}", method=method)
      for name in CALLS for method in ("GET", "PUT", "DELETE", "PATCH")),
    *(Case(f"id {given[:20]}", 200, body=GOOD, headers={"X-Request-Id": given})
      for given in STRANGE_IDS),
    Case("an id of a refused request", 400, body=b"{", headers={"X-Request-Id": "mine"}),
    Case("a large answer in npy", 200, "/reconstruct?model=plane", npy_bytes(MANY),
         {"Content-Type": NPY, "Accept": NPY}),
    Case("a larger answer in npy", 200, "/decode?model=postcard", npy_bytes(np.ones((900, 2))),
         {"Content-Type": NPY, "Accept": NPY}),
    Case("a larger answer in bare numbers", 200, "/decode?model=postcard",
         npy_bytes(np.ones((900, 2))), {"Content-Type": NPY, "Accept": RAW}),
    Case("a large answer in JSON", 200, "/decode?model=postcard", npy_bytes(np.ones((900, 2))),
         {"Content-Type": NPY}),
    Case("conditions", 200, body=fields(model="labelled", inputs=LABELLED.rows(1).tolist(),
                                        conditions={"label": "dog"})),
    Case("log variances", 200, body=fields(model="wave", inputs=WAVE.rows(2).tolist())),
    Case("a colour picture's rows", 200, "/encode?model=postcard", npy_bytes(POSTCARD.rows(2)),
         {"Content-Type": NPY}),
    Case("typed columns", 200, body=fields(model="people", inputs=[[1, False, "Bern"]] * 2)),
    Case("query parameters", 200, "/encode?model=plane&version=1&decimals=3",
         fields(inputs=ROWS)),
    Case("a query that says nothing", 200, "/encode?", GOOD),
    Case("a percent-encoded query", 200, "/encode?model=%70lane", fields(inputs=ROWS)),
    Case("a query twice", 422, "/encode?model=plane&model=wave", fields(inputs=ROWS)),
    Case("an unknown query parameter", 422, "/encode?colour=red", GOOD),
    Case("a percent-encoded path", 200, "/%65ncode", GOOD),
    Case("a percent-encoded path and an error", 400, "/%65ncode", b"["),
    Case("a character set", 200, body=GOOD, headers={"Content-Type": f"{JSON}; charset=utf-8"}),
    Case("another character set", 415, body=GOOD, headers={"Content-Type": f"{JSON}; charset=x"}),
    Case("curl's default", 200, body=GOOD,
         headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Case("no body", 400),
    Case("no JSON", 400, body=b"nonsense"),
    Case("cut JSON", 400, body=GOOD[:-1]),
    Case("no rows", 422, body=fields(model="plane")),
    Case("rows of another shape", 422, body=fields(model="plane", inputs=[[1, 2, 3]])),
    Case("rows that overflow", 422, body=fields(model="plane", inputs=[[3e38] * 4])),
    Case("no model", 422, body=fields(inputs=ROWS)),
    Case("no such model", 404, body=fields(model="nobody", inputs=ROWS)),
    Case("no such version", 404, body=fields(model="plane", version=9, inputs=ROWS)),
    Case("no such call of the model", 409, "/denoise", GOOD),
    Case("too many bytes", 413, body=b" " * 200_001),
    Case("too many rows", 413, "/encode?model=plane", npy_bytes(PLANE.rows(1001)),
         {"Content-Type": NPY}),
    Case("too many samples", 413, "/sample", fields(model="plane", count=1001)),
    Case("text", 415, body=GOOD, headers={"Content-Type": "text/csv"}),
    Case("a compressed body", 200, "/encode?model=plane", gzip.compress(fields(inputs=ROWS)),
         headers={"Content-Encoding": "gzip"}),
    Case("a damaged compressed body", 400, body=GOOD, headers={"Content-Encoding": "gzip"}),
    Case("a body compressed in another way", 415, body=GOOD, headers={"Content-Encoding": "br"}),
    Case("a picture for a model of rows", 415, "/encode?model=plane", picture(PNG),
         {"Content-Type": PNG}),
    Case("an answer that is not written", 406, body=GOOD, headers={"Accept": "text/csv"}),
    Case("a picture of codes", 406, "/encode", GOOD, {"Accept": PNG}),
    Case("a strange expectation", 200, body=GOOD, headers={"Expect": "miracles"}),
    Case("a strange expectation of a refused body", 415, body=GOOD,
         headers={"Expect": "miracles", "Content-Type": "text/csv"}),
    *(Case(f"{name} with OPTIONS", 204, f"/{name}", method="OPTIONS") for name in CALLS),
    Case("another path", 404, "/encode/", GOOD),
    Case("another model's document", 404, "/models/nobody", method="GET"),
    Case("liveness", 200, "/healthz", method="GET"),
]  # fmt: skip

FACTS = ("method", "path", "status", "model", "rows", "problem")


class Lines(logging.Handler):
    """Keeps what the access log says of requests, but for what differs each time."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[dict[str, object]] = []
        self.ids: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        facts = record.__dict__
        self.facts.append({name: facts[name] for name in FACTS if name in facts})
        self.ids.append(facts["request_id"])
        assert facts["duration_ms"] >= 0


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger = logging.getLogger("service.access")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tiny_models_dir: Path) -> AsyncGenerator[Client]:
    async with open_client(tiny_models_dir, **LIMITS) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_models_dir: Path) -> AsyncGenerator[Server]:
    async with open_server(tiny_models_dir, **LIMITS) as server:
        yield server


async def over_asgi(client: Client, case: Case) -> Answer:
    sent = {"accept-encoding": "identity", **case.headers}  # httpx asks for compressed responses
    response = await client.request(case.method, case.target, content=case.body, headers=sent)
    headers = tuple((name.decode(), value.decode()) for name, value in response.headers.raw)
    return Answer(response.status_code, headers, response.content)


async def over_socket(server: Server, case: Case, times: int) -> list[Answer]:
    """Send it over one connection, whose head is known from the second time on."""
    said = request(case.body, case.target, case.method, headers=case.headers)
    answers: list[Answer] = []
    async with server.connect() as client:
        for _ in range(times):
            await client.send(said)
            answers.append(await client.receive())
            if answers[-1].values("connection") == ["close"]:
                break
    return answers


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_both_ways_answer_alike(
    client: Client, server: Server, lines: Lines, case: Case
) -> None:
    expected = await over_asgi(client, case)
    (facts,), (identifier,) = lines.facts, lines.ids
    answers = await over_socket(server, case, times=3)

    assert expected.status == case.status, expected.body
    for answer in answers:
        assert answer.comparable() == expected.comparable()
        assert len(answer.values("date")) == 1
        assert (answer.values("server-timing") == []) == (expected.values("server-timing") == [])
    assert lines.facts == [facts] * (1 + len(answers))
    ids = [answer.values("x-request-id") for answer in (expected, *answers)]
    assert ids == [[each] for each in lines.ids]
    if case.headers.get("X-Request-Id") != identifier:
        assert len(set(lines.ids)) == len(lines.ids)


@pytest.mark.slow
async def test_both_ways_count_alike(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir, **LIMITS) as client:
        for case in CASES:
            await over_asgi(client, case)
            await over_asgi(client, case)
        expected = counts((await client.get("/metrics")).text)
    async with open_server(tiny_models_dir, **LIMITS) as server:
        for case in CASES:
            answers = await over_socket(server, case, times=2)
            if len(answers) == 1:
                await over_socket(server, case, times=1)
        (metrics,) = await over_socket(server, Case("", 200, "/metrics", method="GET"), times=1)

    assert counts(metrics.body.decode()) == expected
    labels = 'call="encode",model="plane",status="200",version="1"'
    alike = [case for case in CASES if case.status == 200 and is_encoding_of_plane(case)]
    assert expected[f"latentserve_requests_total{{{labels}}}"] == 2 * len(alike) > 0


def is_encoding_of_plane(case: Case) -> bool:
    names_plane = b'"plane"' in case.body or "plane" in case.target or "%70lane" in case.target
    return case.target.replace("%65", "e").startswith("/encode") and names_plane


def counts(document: str) -> dict[str, float]:
    """Read the numbers that depend on nothing but the requests."""
    found: dict[str, float] = {}
    for line in document.splitlines():
        series, _, value = line.rpartition(" ")
        name = series.partition("{")[0]
        if name.startswith("latentserve_") and name.endswith(("_total", "_count")):
            found[series] = float(value)
    apart = ("connections", "heartbeats", "/readyz")
    return {
        series: value
        for series, value in found.items()
        if not any(name in series for name in apart)
    }
