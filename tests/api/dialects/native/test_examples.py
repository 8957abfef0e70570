"""An example is a request that works, small enough to be read."""

import json
from pathlib import Path

import numpy as np

from service.api.dialects.native.calls import CALLS
from service.api.dialects.native.examples import MAX_EXAMPLE_VALUES
from tests.api.clients import JSON_BODY, expect_problem, open_client
from tests.bundles import PLANE, STAMP, TINY_MODELS, publish_tiny, tiny_model

DIGIT = tiny_model("digit", "image", (28, 28, 1))
PHOTO = tiny_model("photo", "image", (32, 32, 3))


async def test_every_call_of_every_model_has_one(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir) as client:
        served = 0
        for model in TINY_MODELS:
            for path in CALLS:
                wrong = await client.post(path, json={"model": model.name, "unknown": 1})
                example = wrong.json()["example"]
                answer = await client.post(path, json=example)
                assert answer.status_code == 200, answer.text
                served += example["model"] == model.name

    assert served == len(TINY_MODELS) * len(CALLS) - (len(TINY_MODELS) - 1)  # denoise: one model


async def test_an_example_of_a_picture_has_few_digits(tmp_path: Path) -> None:
    publish_tiny(tmp_path, DIGIT)
    async with open_client(tmp_path) as client:
        document = expect_problem(await client.call("encode", data=[]), 422, "invalid-input")
        codes = await client.answer("encode", **document["example"])

    (row,) = document["example"]["inputs"]
    np.testing.assert_allclose(row, DIGIT.rows(1).ravel(), rtol=0.05, atol=1e-6)
    assert len(json.dumps(row)) < 6 * 784
    assert np.shape(codes["codes"]) == (1, 2)


async def test_an_example_may_have_numbers_beyond_64_bits(tmp_path: Path) -> None:
    publish_tiny(tmp_path, PLANE, example=(1e25, -1e25, 7.0, 0.5))
    async with open_client(tmp_path) as client:
        document = expect_problem(await client.call("encode", data=[]), 422, "invalid-input")
        described = (await client.get("/openapi.json")).json()
        answer = await client.call("encode", **document["example"])

    assert document["example"]["inputs"] == [[1e25, -1e25, 7, 0.5]]
    assert "1e+25" in json.dumps(described["paths"]["/encode"])
    assert answer.status_code == 200


async def test_larger_rows_are_left_to_the_description_of_the_model(tmp_path: Path) -> None:
    publish_tiny(tmp_path, PHOTO)
    async with open_client(tmp_path) as client:
        wrong = expect_problem(await client.call("encode", data=[]), 422, "invalid-input")
        described = (await client.get("/models/photo")).json()["example_request"]
        small = expect_problem(await client.call("decode", data=[]), 422, "invalid-input")
        answer = await client.call("encode", **described)

    assert PHOTO.size > MAX_EXAMPLE_VALUES
    assert "example" not in wrong
    assert len(small["example"]["codes"][0]) == 2
    assert answer.status_code == 200


async def test_codes_of_an_example_are_the_prior_s_mean(tmp_path: Path) -> None:
    publish_tiny(tmp_path, PLANE)
    async with open_client(tmp_path) as client:
        response = await client.post("/decode", content=b"{", headers=JSON_BODY)

    (codes,) = response.json()["example"]["codes"]
    assert [abs(value) for value in codes] == [2, 2]


async def test_without_models_there_is_no_example(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        response = await client.post("/encode", json={"data": 1})

    assert "example" not in response.json()


async def test_a_model_that_does_not_judge_gives_no_example_of_scores(tmp_path: Path) -> None:
    publish_tiny(tmp_path, tiny_model("aardvark", calibration_rows=0))
    publish_tiny(tmp_path, STAMP)
    async with open_client(tmp_path) as client:
        response = await client.post("/anomaly-score", json={"model": "aardvark", "data": 1})

    assert response.json()["example"]["model"] == "stamp"
