"""From the bytes of a request to what it means: options, model, rows."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from service.api.media_types import FORM
from tests.api.clients import (
    JSON,
    JSON_BODY,
    NPY,
    PNG,
    RAW,
    SHARED_LOOP,
    Client,
    expect_problem,
    npy_bytes,
    open_client,
)
from tests.bundles import LABELLED, PLANE, STAMP, publish_tiny
from tests.formats.formats import json_values

pytestmark = SHARED_LOOP

ROWS = PLANE.rows(2).tolist()
IN_NPY = {"content-type": NPY}
# Nothing a client sends may come back in an error: these are easy to find there.
MARKER = "marker-31337"
NUMBER = 31337.25


@pytest.mark.parametrize(
    ("call", "query", "fields"),
    [
        ("encode", "model=wave&version=1", {"model": "wave", "version": 1}),
        ("anomaly-score", "model=wave&false_positive_rate=0.25", {"false_positive_rate": 0.25}),
        ("anomaly-score", "model=wave&false_discovery_rate=2.5e-1", {"false_discovery_rate": 0.25}),
        (
            "anomaly-score",
            "model=wave&score=reconstruction-error",
            {"score": "reconstruction-error"},
        ),
        ("encode", "model=wave&ids=a&ids=7", {"ids": ["a", "7"]}),
    ],
)
async def test_options_in_the_query_mean_what_they_mean_in_the_body(
    client: Client, call: str, query: str, fields: dict[str, Any]
) -> None:
    rows = np.random.default_rng(1).standard_normal((2, 8)).astype(np.float32)

    in_query = await client.post(f"/{call}?{query}", content=npy_bytes(rows), headers=IN_NPY)
    in_body = await client.answer(call, **({"model": "wave", "inputs": rows.tolist()} | fields))

    assert in_query.status_code == 200, in_query.text
    assert in_query.json() == in_body


async def test_a_request_for_samples_needs_no_body(client: Client) -> None:
    query = "model=wave&count=3&seed=9&temperature=0.5&prior=standard-normal"
    in_body = await client.answer(
        "sample", model="wave", count=3, seed=9, temperature=0.5, prior="standard-normal"
    )

    assert (await client.post(f"/sample?{query}")).json() == in_body


async def test_query_and_body_share_the_options(client: Client) -> None:
    response = await client.post("/sample?model=wave&seed=9", json={"count": 3})

    assert response.json() == await client.answer("sample", model="wave", seed=9, count=3)


async def test_conditions_in_the_query_are_json(client: Client) -> None:
    rows = LABELLED.rows(2)
    conditions = {"label": ["dog", 3]}

    response = await client.post(
        f"/encode?model=labelled&conditions={quote(json.dumps(conditions))}",
        content=npy_bytes(rows),
        headers=IN_NPY,
    )

    in_body = await client.answer(
        "encode", model="labelled", inputs=rows.tolist(), conditions=conditions
    )
    assert response.json() == in_body


@pytest.mark.parametrize("content_type", [None, "", JSON, "application/x-www-form-urlencoded"])
async def test_json_is_what_curl_sends(client: Client, content_type: str | None) -> None:
    body = json.dumps({"model": "plane", "inputs": ROWS}).encode()
    headers = {} if content_type is None else {"content-type": content_type}

    assert (await client.post("/encode", content=body, headers=headers)).status_code == 200


async def test_a_body_in_pieces_is_read_whole(client: Client) -> None:
    body = json.dumps({"model": "plane", "inputs": ROWS}).encode()

    async def pieces() -> AsyncGenerator[bytes]:
        for first in range(0, len(body), 7):
            yield body[first : first + 7]

    response = await client.post("/encode", content=pieces(), headers=JSON_BODY)

    assert response.json() == await client.answer("encode", model="plane", inputs=ROWS)


DENSE = f"{JSON}, {NPY}, {RAW}"
TAKEN = "inputs, model, version, ids, conditions, white, decimals"
ANY_CONDITION = (
    "a valid string or a valid integer or a valid number or a valid boolean or a valid list"
)


@pytest.mark.parametrize(
    ("fields", "pointer", "detail"),
    [
        ({"modle": "plane"}, "/modle", "unknown field; model was probably meant"),
        ({"a/b~": 1}, "/a~1b~0", f"unknown field; /encode takes {TAKEN}"),
        (
            {"codes": []},
            "/codes",
            f"unknown field; codes go to POST /decode; /encode takes {TAKEN}",
        ),
        ({"model": 7}, "/model", "model: input should be a valid string, received a number"),
        (
            {"model": ""},
            "/model",
            "model: string should have at least 1 character, received a string",
        ),
        (
            {"model": "m" * 65},
            "/model",
            "model: string should have at most 64 characters, received a string",
        ),
        (
            {"version": "1"},
            "/version",
            "version: input should be a valid integer, received a string",
        ),
        (
            {"version": 1.5},
            "/version",
            "version: input should be a valid integer, received a number",
        ),
        (
            {"version": True},
            "/version",
            "version: input should be a valid integer, received a boolean",
        ),
        ({"version": 0}, "/version", "version: input should be greater than 0, received a number"),
        ({"ids": "ab"}, "/ids", "ids: input should be a valid list, received a string"),
        ({"ids": ["a"]}, "/ids", "1 ids for 2 rows"),
        (
            {"ids": ["a", None]},
            "/ids/1",
            "ids: input should be a valid string or a valid integer, received null",
        ),
        (
            {"ids": ["a", 2**64]},
            "/ids/1",
            f"ids: input should be a valid string or less than {2**64}, received a number",
        ),
        (
            {"ids": ["a", 1.0]},
            "/ids/1",
            "ids: input should be a valid string or a valid integer, received a number",
        ),
        (
            {"conditions": {"label": "cat"}},
            "/conditions",
            "model plane takes no conditions; leave them out",
        ),
        (
            {"conditions": ["cat"]},
            "/conditions",
            "conditions: input should be an object, received a list",
        ),
        (
            {"conditions": {"label": None}},
            "/conditions/label",
            f"conditions: input should be {ANY_CONDITION}, received null",
        ),
        (
            {"conditions": dict.fromkeys(map(str, range(65)), 1)},
            "/conditions",
            "conditions: at most 64 conditions are read, received an object",
        ),
    ],
)
async def test_a_wrong_option_is_named_with_what_is_expected(
    client: Client, fields: dict[str, Any], pointer: str, detail: str
) -> None:
    response = await client.call("encode", **({"model": "plane", "inputs": ROWS} | fields))

    document = expect_problem(response, 422, "invalid-input")
    assert document["detail"] == detail
    assert document["errors"] == [{"pointer": pointer, "detail": detail}]


@pytest.mark.parametrize(
    ("call", "fields", "pointer", "detail"),
    [
        ("sample", {}, "/count", "count is missing"),
        (
            "sample",
            {"count": 0},
            "/count",
            "count: input should be greater than 0, received a number",
        ),
        (
            "sample",
            {"count": -5},
            "/count",
            "count: input should be greater than 0, received a number",
        ),
        (
            "sample",
            {"count": 2.0},
            "/count",
            "count: input should be a valid integer, received a number",
        ),
        ("sample", {"count": 1, "seed": -1}, "/seed", None),
        ("sample", {"count": 1, "seed": 2**53}, "/seed", None),
        ("sample", {"count": 1, "temperature": -0.5}, "/temperature", None),
        ("sample", {"count": 1, "temperature": 1e9}, "/temperature", None),
        ("sample", {"count": 1, "prior": "posterior"}, "/prior", None),
        ("sample", {"count": 1, "inputs": ROWS}, "/inputs", None),
        ("anomaly-score", {"score": "entropy"}, "/score", None),
        ("anomaly-score", {"false_positive_rate": 0}, "/false_positive_rate", None),
        ("anomaly-score", {"false_positive_rate": 1}, "/false_positive_rate", None),
        ("anomaly-score", {"false_discovery_rate": -0.1}, "/false_discovery_rate", None),
        (
            "anomaly-score",
            {"false_positive_rate": 0.1, "false_discovery_rate": 0.1},
            "",
            "give false_positive_rate or false_discovery_rate, not both",
        ),
        ("encode", {"false_positive_rate": 0.1}, "/false_positive_rate", None),
    ],
)
async def test_the_options_of_each_call_are_checked(
    client: Client, call: str, fields: dict[str, Any], pointer: str, detail: str | None
) -> None:
    rows = {} if call == "sample" else {"inputs": ROWS}

    document = expect_problem(
        await client.call(call, **({"model": "plane"} | rows | fields)), 422, "invalid-input"
    )

    assert [error["pointer"] for error in document["errors"]] == [pointer]
    assert detail in (None, document["detail"])


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("model=plane&model=stamp", "/model"),
        ("model=plane&version=one", "/version"),
        ("model=plane&version=1.5", "/version"),
        ("model=plane&version=", "/version"),
        ("model=plane&version=" + "9" * 5000, "/version"),
        ("model=", "/model"),
        ("model=plane&modle=x", "/modle"),
        ("model=plane&%ff%fe=%00", "/\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        ("model=plane&a%2Fb=1", "/a~1b"),
        ("model=plane&a%2Fb=1&a%2Fb=1", "/a~1b"),
        ("model=plane&conditions=nonsense", "/conditions"),
        ("model=plane&conditions=[1]", "/conditions"),
        ("model=plane&inputs=[[1,2,3,4]]", "/inputs"),
        ("model=plane&" + "x" * 10_000 + "=1", "/" + "x" * 79),
    ],
)
async def test_a_wrong_parameter_is_named_like_a_field(
    client: Client, query: str, pointer: str
) -> None:
    response = await client.post(
        f"/encode?{query}", content=npy_bytes(PLANE.rows(1)), headers=IN_NPY
    )

    document = expect_problem(response, 422, "invalid-input")
    assert document["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("call", "query", "fields"),
    [
        ("encode", "model=plane", {"model": "plane", "inputs": ROWS}),
        ("encode", "model=plane&version=1", {"model": None, "version": None, "inputs": ROWS}),
        ("encode", "model=plane&model=plane", {"inputs": ROWS}),
        ("encode", "model=plane&ids=a&ids=7", {"ids": ["a", 7], "inputs": ROWS}),
        ("sample", "model=plane&temperature=1.0&seed=3", {"temperature": 1, "count": 2, "seed": 3}),
        ("sample", "model=plane&count=2&seed=3", {"count": None, "seed": 3}),
        ("sample", "", {"model": "plane", "count": 2, "seed": 3, "temperature": None}),
    ],
)
async def test_what_is_said_twice_or_is_null_is_no_contradiction(
    client: Client, call: str, query: str, fields: dict[str, Any]
) -> None:
    response = await client.post(f"/{call}?{query}", json=fields)

    assert response.status_code == 200, response.text
    if call == "sample":
        assert response.json() == await client.answer("sample", model="plane", count=2, seed=3)
    else:
        expected = PLANE.encode(np.array(ROWS, np.float32))
        np.testing.assert_allclose(response.json()["codes"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("query", "fields", "pointer"),
    [
        ("model=plane", {"model": "stamp", "inputs": ROWS}, "/model"),
        ("model=plane&ids=a&ids=b", {"ids": ["b", "a"], "inputs": ROWS}, "/ids"),
        ("model=plane&decimals=2", {"decimals": "2", "inputs": ROWS}, "/decimals"),
        ("model=plane&version=1", {"version": True, "inputs": ROWS}, "/version"),
    ],
)
async def test_a_query_and_a_body_that_contradict_each_other_are_refused(
    client: Client, query: str, fields: dict[str, Any], pointer: str
) -> None:
    document = expect_problem(
        await client.post(f"/encode?{query}", json=fields), 422, "invalid-input"
    )

    assert document["errors"][0]["pointer"] == pointer


async def test_very_many_wrong_options_cost_no_more_than_a_few(client: Client) -> None:
    """Each took a tenth of a millisecond: these bodies would have held the service for minutes."""
    wrong = [None] * 300_000
    for fields in ({"ids": wrong}, {"conditions": {"label": wrong}}):
        response = await client.call("encode", model="plane", inputs=ROWS, **fields)
        assert len(expect_problem(response, 422, "invalid-input")["errors"]) == 1
    many = dict.fromkeys(map(str, range(50_000)), 1)
    response = await client.call("encode", model="plane", inputs=ROWS, **many)
    (error,) = expect_problem(response, 422, "invalid-input")["errors"]
    assert error == {"pointer": "", "detail": "the body has 50002 fields; at most 64 are read"}


@pytest.mark.parametrize(
    ("fields", "status", "slug", "detail"),
    [
        (
            {"inputs": ROWS},
            422,
            "model-required",
            "name a model; there are labelled, people, plane, postcard, stamp, wave",
        ),
        (
            {"model": MARKER, "inputs": ROWS},
            404,
            "model-not-found",
            "no model of that name; there are labelled, people, plane, postcard, stamp, wave",
        ),
        (
            {"model": "../plane", "inputs": ROWS},
            404,
            "model-not-found",
            (
                "no model of that name; plane was probably meant;"
                " there are labelled, people, plane, postcard, stamp, wave"
            ),
        ),
        (
            {"model": "plane", "version": 31337, "inputs": ROWS},
            404,
            "version-not-found",
            "no such version of model plane; it has 1",
        ),
    ],
)
async def test_a_model_that_is_not_there_is_named_by_those_that_are(
    client: Client, fields: dict[str, Any], status: int, slug: str, detail: str
) -> None:
    document = expect_problem(await client.call("encode", **fields), status, slug)

    assert document["detail"] == detail


async def test_a_call_that_a_model_does_not_serve_is_named_with_those_it_does(
    client: Client,
) -> None:
    response = await client.call("denoise", model="plane", inputs=ROWS)

    assert expect_problem(response, 409, "capability-missing")["detail"] == (
        "model plane does not serve denoise; it serves"
        " encode, decode, reconstruct, anomaly-score, sample"
    )


async def test_the_only_model_needs_no_name(tmp_path: Path) -> None:
    publish_tiny(tmp_path, PLANE)
    async with open_client(tmp_path) as client:
        assert (await client.answer("encode", inputs=ROWS))["model"] == "plane"


async def test_the_default_model_needs_no_name(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir, default_model="plane") as client:
        assert (await client.answer("encode", inputs=ROWS))["model"] == "plane"
        rows = STAMP.rows(1).tolist()
        assert (await client.answer("encode", model="stamp", inputs=rows))["model"] == "stamp"


async def test_the_highest_version_answers_unless_another_is_named_or_pinned(
    tmp_path: Path,
) -> None:
    for _ in range(3):
        publish_tiny(tmp_path, PLANE)
    async with open_client(tmp_path) as client:
        assert (await client.answer("encode", inputs=ROWS))["version"] == 3
        assert (await client.answer("encode", inputs=ROWS, version=1))["version"] == 1
    async with open_client(tmp_path, pinned_versions={"plane": 2}) as client:
        assert (await client.answer("encode", inputs=ROWS))["version"] == 2
        assert (await client.answer("encode", inputs=ROWS, version=3))["version"] == 3


async def test_a_bundle_without_calibration_serves_all_but_judgement(tmp_path: Path) -> None:
    publish_tiny(tmp_path, replace(PLANE, calibration_rows=0))
    async with open_client(tmp_path) as client:
        await client.answer("encode", inputs=ROWS)
        response = await client.call("anomaly-score", inputs=ROWS)
        assert (await client.get("/models/plane")).status_code == 200

    expect_problem(response, 409, "empty-calibration")


@pytest.mark.parametrize(
    ("call", "model", "content_type", "readable"),
    [
        ("encode", "plane", PNG, f"{DENSE}, {FORM}"),
        ("decode", "stamp", PNG, f"{DENSE}, {FORM}"),
        ("sample", "stamp", NPY, JSON),
        ("sample", "stamp", RAW, JSON),
        ("sample", "stamp", PNG, JSON),
    ],
)
async def test_media_types_that_a_call_and_model_cannot_read_are_refused(
    client: Client, call: str, model: str, content_type: str, readable: str
) -> None:
    query = f"model={model}" + ("&count=1" if call == "sample" else "")

    response = await client.post(
        f"/{call}?{query}", content=b"anything", headers={"content-type": content_type}
    )

    assert expect_problem(response, 415, "unsupported-media-type")["detail"] == (
        f"/{call} of model {model} reads {readable}, not {content_type}"
    )


@pytest.mark.parametrize(
    ("path", "content", "status", "slug"),
    [
        ("/encode?model=stamp", bytes(97), 422, "invalid-input"),
        ("/decode?model=stamp", bytes(7), 422, "invalid-input"),
        ("/encode?model=stamp", b"", 400, "malformed-body"),
        ("/encode?model=stamp", b"\xff" * 96, 422, "invalid-input"),
        ("/encode?model=nobody", bytes(96), 404, "model-not-found"),
        ("/encode?model=stamp&decimals=many", bytes(96), 422, "invalid-input"),
        ("/denoise?model=plane", bytes(16), 409, "capability-missing"),
    ],
)
async def test_bare_numbers_that_cannot_be_answered_are_refused_like_any_other(
    client: Client, path: str, content: bytes, status: int, slug: str
) -> None:
    response = await client.post(path, content=content, headers={"content-type": RAW})

    expect_problem(response, status, slug)


async def test_bare_numbers_are_rows_with_options_in_the_query(client: Client) -> None:
    rows = LABELLED.rows(2)
    query = f"model=labelled&ids=a&ids=b&conditions={quote(json.dumps({'label': ['cat', 3]}))}"

    response = await client.post(
        f"/encode?{query}", content=rows.astype("<f4").tobytes(), headers={"content-type": RAW}
    )

    assert response.status_code == 200, response.text
    assert response.json()["ids"] == ["a", "b"]
    expected = LABELLED.encode(rows, np.array([[0], [2]], np.float32))
    np.testing.assert_allclose(response.json()["codes"], expected, atol=1e-6)


async def test_codes_come_in_npy_too(client: Client) -> None:
    codes = STAMP.encode(STAMP.rows(3))

    found = await client.rows("decode", codes, model="stamp")

    np.testing.assert_allclose(found, STAMP.decode(codes), atol=1e-6)


def png_of(value: int) -> bytes:
    stream = BytesIO()
    Image.new("L", (4, 6), value).save(stream, "PNG")
    return stream.getvalue()


async def test_a_picture_is_one_row(client: Client) -> None:
    headers = {"content-type": PNG}
    response = await client.post("/encode?model=stamp&ids=a", content=png_of(51), headers=headers)

    in_json = await client.answer(
        "encode", model="stamp", inputs=[[np.float32(0.2).item()] * 24], ids=["a"]
    )
    assert response.json() == in_json


WRONG_VALUES = [
    {"inputs": [[NUMBER, MARKER, 0, 0]]},
    {"inputs": [[NUMBER] * 3]},
    {"inputs": [[NUMBER, [NUMBER], 0, 0]]},
    {"inputs": MARKER},
    {"inputs": {"a": MARKER}},
    {"inputs": [[1e300, NUMBER, 0, 0]]},
    {"inputs": [[NUMBER, 0, 0, 0]], "model": MARKER},
    {"inputs": [[NUMBER, 0, 0, 0]], "model": MARKER * 9},
    {"inputs": [[NUMBER, 0, 0, 0]], "version": MARKER},
    {"inputs": [[NUMBER, 0, 0, 0]], "version": 31337},
    {"inputs": [[NUMBER, 0, 0, 0]], "version": NUMBER},
    {"inputs": [[NUMBER, 0, 0, 0]], "ids": MARKER},
    {"inputs": [[NUMBER, 0, 0, 0]], "ids": [MARKER, 31337]},
    {"inputs": [[NUMBER, 0, 0, 0]], "ids": [NUMBER]},
    {"inputs": [[NUMBER, 0, 0, 0]], "conditions": MARKER},
    {"inputs": [[NUMBER, 0, 0, 0]], "conditions": {"label": MARKER}},
    {"inputs": [[NUMBER, 0, 0, 0]], "conditions": {"label": 31337}},
    {"inputs": [[NUMBER, 0, 0, 0]], "conditions": {MARKER: "cat"}},
    {"inputs": [[NUMBER, 0, 0, 0]], "score": MARKER},
    {"inputs": [[NUMBER, 0, 0, 0]], "false_positive_rate": MARKER},
    {"inputs": [[NUMBER, 0, 0, 0]], "false_positive_rate": NUMBER},
    {"inputs": [[NUMBER, 0, 0, 0]], "other": MARKER},
    {"count": 31337, "prior": MARKER},
    {"count": NUMBER},
    {"count": 31337},
    {"count": 1, "seed": -31337},
    {"count": 1, "temperature": NUMBER},
]


@pytest.mark.parametrize("call", ["encode", "anomaly-score", "sample"])
@pytest.mark.parametrize("fields", WRONG_VALUES)
async def test_no_error_repeats_a_value_of_the_request(
    client: Client, call: str, fields: dict[str, Any]
) -> None:
    response = await client.call(call, **({"model": "labelled"} | fields))

    assert response.status_code in (404, 413, 422)
    assert "31337" not in response.text


@pytest.mark.parametrize(
    "query",
    [
        f"model={MARKER}",
        f"model=plane&version={MARKER}",
        "model=plane&version=31337",
        f"model=plane&false_positive_rate={MARKER}",
        f"model=plane&conditions={MARKER}",
        f"model=plane&conditions=%7B%22a%22%3A%22{MARKER}%22%7D",
        f"model=plane&other={MARKER}",
        f"model=plane&score={MARKER}",
    ],
)
async def test_no_error_repeats_a_value_of_the_query(client: Client, query: str) -> None:
    response = await client.post(
        f"/anomaly-score?{query}", content=npy_bytes(PLANE.rows(1)), headers=IN_NPY
    )

    assert response.status_code in (404, 422)
    assert "31337" not in response.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    fields=st.dictionaries(
        st.sampled_from(["model", "version", "ids", "conditions", "inputs", "count", "seed", "x"]),
        json_values | st.sampled_from(["plane", "labelled", 1, ROWS, {"label": "cat"}]),
        max_size=5,
    ),
    call=st.sampled_from(["encode", "anomaly-score", "sample"]),
)
async def test_whatever_fields_are_sent_the_service_does_not_fail(
    client: Client, fields: dict[str, Any], call: str
) -> None:
    response = await client.call(call, **fields)

    assert response.status_code in (200, 400, 404, 409, 413, 422)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(query=st.text(st.sampled_from("model=plane&version%0123456789abcdef;+#[]{}\"'é")))
async def test_whatever_query_is_sent_the_service_does_not_fail(client: Client, query: str) -> None:
    response = await client.post(
        f"/encode?{query}", content=npy_bytes(PLANE.rows(1)), headers=IN_NPY
    )

    assert response.status_code in (200, 404, 422)
