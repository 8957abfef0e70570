"""Many clients at once get what each would have got alone, and that is what NumPy computes."""

import asyncio
import os
from io import BytesIO

import httpx
import numpy as np
import pytest

from benchmarks.soak import NPY, Answer, Request, compare, make_once, make_requests, make_together
from tests.bundles import LABELLED, TINY_MODELS, TinyModel
from tests.end_to_end.servers import SMALL_BATCHES, Server

SERVER_FLAGS = SMALL_BATCHES
CLIENTS = 16
# A longer soak: python -m benchmarks.soak, or this variable.
SECONDS = float(os.environ.get("SOAK_SECONDS", "3"))
MODELS = {model.name: model for model in TINY_MODELS}


@pytest.fixture(scope="module")
def requests(http: httpx.Client) -> list[Request]:
    return make_requests(http)


@pytest.fixture(scope="module")
def alone(http: httpx.Client, requests: list[Request]) -> list[Answer]:
    return make_once(http, requests)


def computed(model: TinyModel, request: Request) -> np.ndarray:
    assert request.rows is not None
    conditions = np.zeros((len(request.rows), 1), np.float32) if model is LABELLED else None
    return {
        "encode": model.encode,
        "decode": model.decode,
        "reconstruct": model.reconstruct,
        "denoise": model.reconstruct,
        "anomaly-score": model.score,
    }[request.call](request.rows, conditions)


@pytest.mark.slow
def test_the_requests_are_a_mixture(requests: list[Request], alone: list[Answer]) -> None:
    assert len(requests) > 200
    assert {request.model for request in requests} >= MODELS.keys()
    assert {answer.status for answer in alone} == {200, 400, 404, 405, 406, 413, 415, 422}
    assert len({answer.media_type for answer in alone if answer.status == 200}) == 4


def test_alone_they_are_answered_as_numpy_computes(
    requests: list[Request], alone: list[Answer]
) -> None:
    checked = 0
    for request, answer in zip(requests, alone, strict=True):
        if request.rows is None or answer.media_type != NPY:
            continue
        found = np.load(BytesIO(answer.body))
        expected = computed(MODELS[request.model], request)
        values = found["score"] if request.call == "anomaly-score" else found
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5 * scale)
        checked += 1
    assert checked > 50


@pytest.mark.slow
def test_together_they_are_answered_as_alone(
    server: Server, requests: list[Request], alone: list[Answer]
) -> None:
    report = asyncio.run(make_together(server.url, requests, alone, CLIENTS, SECONDS))

    assert report.differences == []
    assert set(report.statuses) <= {answer.status for answer in alone}
    assert report.statuses.total() > CLIENTS
    assert report.abandoned > 0


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        (Answer(200, "application/json", b'{"codes": [[1.0, 2.0000001]]}'), None),
        (Answer(200, "application/json", b'{"codes": [[1.0, 2.1]]}'), "codes: other values"),
        (Answer(200, "application/json", b'{"codes": [[1.0]]}'), "codes: other values"),
        (Answer(200, "application/json", b'{"code": [[1.0, 2.0]]}'), "{'code': [[1.0, 2.0]]}"),
        (Answer(500, "application/problem+json", b"{}"), "500 application/problem+json"),
    ],
)
def test_a_difference_would_be_seen(found: Answer, difference: str | None) -> None:
    seen = compare(Answer(200, "application/json", b'{"codes": [[1.0, 2.0]]}'), found)

    assert seen is None if difference is None else (seen or "").startswith(difference)
