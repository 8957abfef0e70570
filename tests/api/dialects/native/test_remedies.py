"""Whatever a request calls its fields, the error names the right one, with an example."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.dialects.native.calls import CALLS
from tests.api.clients import JSON_BODY, SHARED_LOOP, Client, expect_problem
from tests.bundles import PLANE

pytestmark = SHARED_LOOP

ROWS = PLANE.rows(2).tolist()
ROWS_GO_INTO = "unknown field; rows go into the field inputs"
ROW_NAMES = (
    "data input Input Inputs rows x X samples features image images instances input_data inputData"
    " dataframe_split dataframe-records tensor inptus feature payload"
)
OPTION_NAMES = {
    "encode": {"model": "modle model_name modelName Model", "decimals": "decimal digits"},
    "anomaly-score": {
        "false_positive_rate": "fpr threshold alpha falsePositiveRate false_positve_rate",
        "false_discovery_rate": "fdr falseDiscoveryRate",
        "score": "Score scorer",
        "ids": "id row_ids",
    },
    "sample": {
        "count": "n num_samples n_samples cuont",
        "seed": "random_state sed",
        "temperature": "temp temprature",
        "prior": "priors distribution",
        "version": "verison model_version",
        "conditions": "label condition labels",
    },
}


async def rejected(client: Client, call: str, fields: dict[str, Any], query: str = "") -> str:
    """Make a call that is refused as invalid; check that its example works; return the detail."""
    response = await client.post(f"/{call}?{query}", content=json.dumps(fields), headers=JSON_BODY)
    document = expect_problem(response, 422, "invalid-input")
    await expect_to_work(client, call, document["example"])
    return document["detail"]


async def expect_to_work(client: Client, call: str, example: dict[str, Any]) -> None:
    assert (await client.call(call, **example)).status_code == 200
    assert len(json.dumps(example)) < 1000


@pytest.mark.parametrize("name", ROW_NAMES.split())
async def test_rows_in_another_field_are_told_theirs(client: Client, name: str) -> None:
    detail = await rejected(client, "encode", {"model": "plane", name: ROWS})

    assert detail.startswith("unknown field")
    assert detail.endswith("; rows go into the field inputs")


async def test_the_example_is_of_the_model_that_was_named(client: Client) -> None:
    for fields, query in [({"model": "plane"}, ""), ({}, "model=plane")]:
        response = await client.post(f"/encode?{query}", json=fields | {"data": ROWS})
        assert response.json()["example"]["model"] == "plane"
        assert response.json()["detail"] == ROWS_GO_INTO


@pytest.mark.parametrize(
    ("call", "name", "other"),
    [
        (call, name, other)
        for call, names in OPTION_NAMES.items()
        for name, others in names.items()
        for other in others.split()
    ],
)
async def test_an_option_by_another_name_is_told_its_own(
    client: Client, call: str, name: str, other: str
) -> None:
    fields: dict[str, Any] = {"count": 1} if call == "sample" else {"inputs": ROWS}
    if name == "count":
        fields = {}

    assert await rejected(client, call, {"model": "plane", other: 1} | fields) == (
        f"unknown field; {name} was probably meant"
    )
    if fields and name != "model":
        detail = await rejected(client, call, fields, f"model=plane&{other}=1")
        assert detail == f"unknown field; {name} was probably meant"


@pytest.mark.parametrize(
    ("call", "fields", "detail"),
    [
        (
            "encode",
            {"codes": [[1, 2]]},
            (
                "unknown field; codes go to POST /decode;"
                " /encode takes inputs, model, version, ids, conditions, white, decimals"
            ),
        ),
        (
            "decode",
            {"inputs": ROWS},
            "unknown field; codes go into the field codes, as POST /encode returns them",
        ),
        (
            "sample",
            {"inputs": ROWS},
            "unknown field; /sample takes no rows: count says how many to draw",
        ),
        (
            "encode",
            {"inputs": ROWS, "fpr": 0.1},
            (
                "unknown field; false_positive_rate is a field of POST /anomaly-score;"
                " /encode takes inputs, model, version, ids, conditions, white, decimals"
            ),
        ),
        (
            "anomaly-score",
            {"inputs": ROWS, "decimals": 2},
            (
                "unknown field; decimals is a field of other calls; /anomaly-score takes inputs,"
                " model, version, ids, conditions, white, score, false_positive_rate,"
                " false_discovery_rate"
            ),
        ),
        (
            "encode",
            {"instances": ROWS, "signature_name": "serving_default"},
            (
                "unknown field (TensorFlow Serving, KServe V1, Vertex AI and SageMaker);"
                " rows go into the field inputs (1 more field is unknown)"
            ),
        ),
        (
            "encode",
            {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROWS[0]}]},
            (
                "row 0 is an object; a list of values is expected; this looks like the Open"
                " Inference Protocol (V2), whose tensors are not read here:"
                " /encode takes inputs, model, version, ids, conditions, white, decimals"
            ),
        ),
    ],
)
async def test_what_belongs_elsewhere_is_sent_there(
    client: Client, call: str, fields: dict[str, Any], detail: str
) -> None:
    assert await rejected(client, call, {"model": "plane"} | fields) == detail


async def test_rows_in_the_query_go_into_the_body(client: Client) -> None:
    assert await rejected(client, "encode", {"model": "plane"}, "inputs=[[1]]") == (
        "inputs go into the body, not into the query"
    )


@pytest.mark.parametrize(
    ("call", "body", "hint"),
    [
        ("encode", json.dumps(ROWS), 'put the list of rows into a field: {"inputs": [...]}'),
        ("encode", json.dumps(ROWS[0]), 'put the list of rows into a field: {"inputs": [...]}'),
        ("decode", " \n[[1, 2]]", 'put the list of rows into a field: {"codes": [...]}'),
        (
            "sample",
            "[2]",
            (
                "/sample takes model, version, ids, conditions, white, decimals, count, seed,"
                " temperature, prior"
            ),
        ),
        ("encode", json.dumps(json.dumps({"inputs": ROWS})), "it is text: was JSON encoded twice?"),
        ("encode", "{'inputs': [[1]]}", "JSON has double quotes, not single ones"),
        (
            "encode",
            "model=plane&inputs=%5B%5B1%5D%5D",
            "these are fields of a form: send one JSON object, or files as multipart/form-data",
        ),
    ],
)
async def test_a_body_that_is_no_object_is_told_what_to_do(
    client: Client, call: str, body: str, hint: str
) -> None:
    response = await client.post(f"/{call}", content=body, headers=JSON_BODY)

    document = expect_problem(response, 400, "malformed-body")
    assert document["detail"].endswith(f"; {hint}")
    await expect_to_work(client, call, document["example"])


@pytest.mark.parametrize(
    ("call", "fields", "status", "slug", "model"),
    [
        ("encode", {"inputs": ROWS}, 422, "model-required", "labelled"),
        ("encode", {"model": "plain", "inputs": ROWS}, 404, "model-not-found", "labelled"),
        ("encode", {"model": "wave", "version": 9}, 404, "version-not-found", "wave"),
        ("denoise", {"model": "plane", "inputs": ROWS}, 409, "capability-missing", "stamp"),
        ("encode", {"model": "plane", "inputs": [[1, 2, 3]]}, 422, "invalid-input", "plane"),
        ("sample", {"model": "plane"}, 422, "invalid-input", "plane"),
    ],
)
async def test_every_mistake_comes_with_an_example_that_works(
    client: Client, call: str, fields: dict[str, Any], status: int, slug: str, model: str
) -> None:
    document = expect_problem(await client.call(call, **fields), status, slug)

    assert document["example"]["model"] == model
    await expect_to_work(client, call, document["example"])


async def test_a_wrong_media_type_or_method_comes_with_an_example_too(client: Client) -> None:
    xml = await client.post("/sample", content=b"<a/>", headers={"content-type": "text/xml"})
    read = await client.get("/encode")

    assert expect_problem(xml, 415, "unsupported-media-type")["example"]["count"] == 2
    await expect_to_work(
        client, "encode", expect_problem(read, 405, "method-not-allowed")["example"]
    )


async def test_what_is_no_mistake_of_the_request_has_no_example(client: Client) -> None:
    too_many = await client.call("sample", model="plane", count=10**9)
    overflowing = await client.call("encode", model="plane", inputs=[[3e38] * 4])

    assert "example" not in expect_problem(too_many, 413, "too-many-rows")
    assert "example" not in expect_problem(overflowing, 422, "non-finite-result")


NAMES = st.text(min_size=1, max_size=60) | st.text("abcdefghijklmnop_", min_size=1, max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(name=NAMES, call=st.sampled_from(["encode", "decode", "anomaly-score", "sample"]))
async def test_an_unknown_field_is_never_repeated_and_always_answered(
    client: Client, name: str, call: str
) -> None:
    taken = CALLS[f"/{call}"].fields.model_fields
    if name in (*taken, "inputs", "codes"):
        return
    response = await client.call(call, model="plane", **{f"{name}31337": 1})

    document = expect_problem(response, 422, "invalid-input")
    assert "31337" not in document["detail"]
    assert "example" in document
