"""The six calls on their way: limits, time, clients that leave, field_errors of ours."""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.api.asgi import InferenceOverAsgi
from service.api.dialects.native.calls import CALLS
from tests.api.clients import (
    JSON,
    JSON_BODY,
    NPY,
    SHARED_LOOP,
    Client,
    expect_problem,
    npy_bytes,
    open_client,
)
from tests.bundles import PLANE
from tests.faulty_model import failing_rows, publish_faulty_model, slow_rows

pytestmark = SHARED_LOOP

BODY = json.dumps({"model": "plane", "inputs": PLANE.rows(2).tolist()}).encode()
TIMING = re.compile(
    r"read;dur=([0-9.]+), queue;dur=([0-9.]+), inference;dur=([0-9.]+), write;dur=([0-9.]+)"
)


async def in_pieces(body: bytes, size: int = 100, pause: float = 0) -> AsyncGenerator[bytes]:
    for first in range(0, len(body), size):
        yield body[first : first + size]
        await asyncio.sleep(pause)


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "NONSENSE"])
async def test_the_calls_take_post_alone(client: Client, method: str, path: str) -> None:
    response = await client.request(method, path)

    assert response.headers["allow"] == "POST"
    document = expect_problem(response, 405, "method-not-allowed")
    assert document["detail"] == f"{path} takes POST"


@pytest.mark.parametrize("path", CALLS)
async def test_the_calls_have_no_head(client: Client, path: str) -> None:
    response = await client.head(path)

    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/encode/", "/Encode", "/v1/encode", "//encode"])
async def test_a_path_that_is_almost_one_is_told_which(client: Client, path: str) -> None:
    response = await client.post(f"http://latentserve{path}", content=BODY, headers=JSON_BODY)

    document = expect_problem(response, 404, "not-found")
    assert document["detail"] == "POST /encode was probably meant"
    assert (await client.post("/encode", json=document["example"])).status_code == 200


@pytest.mark.parametrize("path", ["/", "/x" * 500])
async def test_other_paths_are_not_there(client: Client, path: str) -> None:
    response = await client.post(f"http://latentserve{path}", content=BODY, headers=JSON_BODY)

    assert "GET /docs" in expect_problem(response, 404, "not-found")["detail"]


async def test_an_answer_says_where_its_time_went(client: Client) -> None:
    started = time.perf_counter()
    response = await client.post("/encode", content=BODY, headers=JSON_BODY)
    elapsed = (time.perf_counter() - started) * 1000

    timing = TIMING.fullmatch(response.headers["server-timing"])
    assert timing
    read, queue, inference, write = map(float, timing.groups())
    assert min(read, inference, write) > 0
    assert queue >= 0
    assert read + queue + inference + write <= elapsed


async def test_a_slow_graph_is_seen_in_the_timing(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    async with open_client(tmp_path) as client:
        response = await client.post(
            "/encode", content=npy_bytes(slow_rows(0.2)), headers={"content-type": NPY}
        )

    timing = TIMING.fullmatch(response.headers["server-timing"])
    assert timing
    assert float(timing[3]) > 20


@pytest.mark.parametrize("in_one_piece", [True, False])
async def test_a_body_up_to_the_limit_is_read_and_one_byte_more_is_not(
    tiny_models_dir: Path, in_one_piece: bool
) -> None:
    limit = 1024
    async with open_client(tiny_models_dir, max_body_bytes=limit) as client:
        for length, status in ((limit, 200), (limit + 1, 413)):
            body = BODY + b" " * (length - len(BODY))
            content = body if in_one_piece else in_pieces(body)
            response = await client.post("/encode", content=content, headers=JSON_BODY)
            assert response.status_code == status

    document = expect_problem(response, 413, "body-too-large")
    assert document["detail"] == "the limit is 1024 bytes"


async def test_a_body_that_is_announced_as_too_large_is_not_even_asked_for(
    tiny_models_dir: Path,
) -> None:
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked = True
        return {"type": "http.request", "body": b"", "more_body": True}

    headers = [(b"content-length", b"99999999999"), (b"expect", b"100-continue")]
    async with open_client(tiny_models_dir) as client:
        start, body = await exchange(client, receive, headers)

    assert start["status"] == 413
    assert (b"connection", b"close") in start["headers"]  # or its body would be a request
    assert json.loads(body["body"])["type"] == "/errors#body-too-large"
    assert not asked


async def test_identity_is_no_encoding(client: Client) -> None:
    headers = {"content-type": JSON, "content-encoding": "Identity"}

    assert (await client.post("/encode", content=BODY, headers=headers)).status_code == 200


async def test_one_row_more_than_the_limit_is_too_many(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir, max_rows=3) as client:
        assert len(await client.rows("encode", PLANE.rows(3), model="plane")) == 3
        for response, detail in (
            (
                await client.call("encode", model="plane", inputs=PLANE.rows(4).tolist()),
                "the request has 4 rows; the limit is 3: split it",
            ),
            (
                await client.call("sample", model="plane", count=4),
                "more rows were asked for than the limit of 3",
            ),
            (
                await client.call("sample", model="plane", count=10**30),
                "more rows were asked for than the limit of 3",
            ),
        ):
            assert expect_problem(response, 413, "too-many-rows")["detail"] == detail


async def test_a_body_that_trickles_is_not_waited_for_forever(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir, request_timeout_seconds=0.1) as client:
        content = in_pieces(BODY, size=1, pause=0.01)
        response = await client.post("/encode", content=content, headers=JSON_BODY)

    document = expect_problem(response, 504, "deadline-exceeded")
    assert document["detail"] == "the time limit passed while the body was on its way"


async def test_a_body_that_never_begins_is_not_waited_for_forever(tiny_models_dir: Path) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async with open_client(tiny_models_dir, request_timeout_seconds=0.1) as client:
        start, _ = await exchange(client, receive, [])

    assert start["status"] == 504


async def test_a_model_that_takes_too_long_is_not_waited_for(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    async with open_client(tmp_path, request_timeout_seconds=0.1) as client:
        response = await client.call("encode", inputs=slow_rows(0.5).tolist())
        waited = expect_problem(response, 504, "deadline-exceeded")["detail"]

    assert waited == "the time limit passed while the model worked"


async def test_a_run_ends_at_its_deadline_and_what_waits_behind_it_is_answered(
    tmp_path: Path,
) -> None:
    publish_faulty_model(tmp_path)
    async with open_client(tmp_path, request_timeout_seconds=0.5) as client:
        slow = asyncio.create_task(client.call("encode", inputs=slow_rows(10).tolist()))
        await asyncio.sleep(0.3)
        waiting = await client.call("encode", inputs=PLANE.rows(1).tolist())
        expect_problem(await slow, 504, "deadline-exceeded")

    assert waiting.status_code == 200


async def exchange(
    client: Client, receive: Any, headers: list[tuple[bytes, bytes]]
) -> list[dict[str, Any]]:
    """Make a call with a channel of one's own; return what was sent."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/encode", "query_string": b""}
    await client.app({**scope, "headers": headers}, receive, send)  # pyright: ignore[reportArgumentType]  # dict for mapping
    return sent


async def test_a_client_that_leaves_before_its_body_is_whole_is_not_answered(
    client: Client,
) -> None:
    messages = iter(
        [
            {"type": "http.request", "body": BODY[:10], "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    assert await exchange(client, receive, []) == []


async def test_a_client_that_leaves_while_the_model_works_is_not_answered(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    body = json.dumps({"inputs": slow_rows(0.5).tolist()}).encode()
    messages = iter(
        [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    async with open_client(tmp_path) as client:
        sent = await exchange(client, receive, [])
        # Its rows are dropped: whoever comes next is answered as soon as the graph is free.
        expected = PLANE.encode(PLANE.rows(1))
        answer = await client.answer("encode", inputs=PLANE.rows(1).tolist())

    assert sent == []
    np.testing.assert_allclose(answer["codes"], expected, atol=1e-5)


async def test_more_rows_than_may_wait_are_refused_for_now(tiny_models_dir: Path) -> None:
    rows = PLANE.rows(10).tolist()
    async with open_client(tiny_models_dir, max_rows=10, max_queue_rows=10) as client:
        responses = await asyncio.gather(
            *(client.call("encode", model="plane", inputs=rows) for _ in range(5))
        )
        refused = [response for response in responses if response.status_code != 200]
        again = await client.call("encode", model="plane", inputs=rows)

    assert 0 < len(refused) < 5
    for response in refused:
        document = expect_problem(response, 503, "queue-full")
        assert response.headers["retry-after"] == "1"
        assert document["detail"] == ("10 rows wait already; 10 more would exceed the limit of 10")
    assert again.status_code == 200


async def test_a_fault_of_a_graph_fails_its_own_request_alone(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    rows = [PLANE.rows(1, seed=seed) for seed in range(8)]
    rows[3] = failing_rows()
    async with open_client(tmp_path) as client:
        occupied = asyncio.create_task(client.call("encode", inputs=slow_rows(0.1).tolist()))
        await asyncio.sleep(0.02)  # the rest share the next batch
        responses = await asyncio.gather(
            *(client.call("encode", inputs=row.tolist()) for row in rows)
        )
        assert (await occupied).status_code == 200

    document = expect_problem(responses[3], 500, "internal-error")
    assert document["detail"] == "The service failed"
    for row, response in zip(rows, responses, strict=True):
        if response is not responses[3]:
            codes = response.json()["codes"]
            np.testing.assert_allclose(codes, PLANE.encode(row), atol=1e-5)


async def test_a_model_that_is_not_loaded_yet_is_unavailable_for_now(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    async with open_client(tmp_path, wait=False) as client:
        response = await client.call("encode", inputs=PLANE.rows(1).tolist())
        ready = await client.get("/readyz")

    document = expect_problem(response, 503, "model-unavailable")
    assert response.headers["retry-after"] == "1"
    assert document["detail"] == "no version of plane is ready: 1 is loading"
    assert ready.status_code == 503


async def test_a_service_that_stops_takes_no_more(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir) as client:
        assert isinstance(client.app, InferenceOverAsgi)
        await client.app._pipeline._reconciler.close()
        response = await client.post("/encode", content=BODY, headers=JSON_BODY)

    expect_problem(response, 503, "draining")
    assert response.headers["retry-after"] == "1"


async def test_calls_that_come_together_are_answered_each_with_its_own(client: Client) -> None:
    rows = [PLANE.rows(1 + seed % 7, seed=seed) for seed in range(60)]

    answers = await asyncio.gather(
        *(client.rows("reconstruct", each, model="plane") for each in rows)
    )

    for each, answer in zip(rows, answers, strict=True):
        np.testing.assert_allclose(answer, PLANE.reconstruct(each), atol=1e-5)
