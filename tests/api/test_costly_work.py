"""Large requests and responses leave the event loop, and nothing else about them changes."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import off_loop
from service.api.asgi import InferenceOverAsgi
from service.api.pipeline import Pipeline
from service.formats.json.sliced_body import SlicedBody
from service.log_config import request_id
from tests.api.clients import (
    JSON,
    JSON_BODY,
    NPY,
    RAW,
    SHARED_LOOP,
    Client,
    expect_problem,
    npy_bytes,
    open_client,
)
from tests.bundles import PEOPLE, PLANE, STAMP, publish_tiny, tiny_model

pytestmark = SHARED_LOOP

PADDING = b" " * 2**21
ROWS = PLANE.rows(3)
LARGE_BODY = json.dumps({"model": "plane", "inputs": ROWS.tolist()}).encode() + PADDING


@asynccontextmanager
async def blocked_threads() -> AsyncIterator[Callable[[], None]]:
    """Occupy the threads of costly work until the block ends, or the function is called."""
    go = threading.Event()
    sizes = (1, 10**9)
    occupied = [asyncio.create_task(off_loop.run_on_thread(size, go.wait, 30)) for size in sizes]
    await asyncio.sleep(0)
    try:
        yield go.set
    finally:
        go.set()
        await asyncio.gather(*occupied)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not become true")


def pipeline_of(client: Client) -> Pipeline:
    assert isinstance(client.app, InferenceOverAsgi)
    return client.app._pipeline


async def test_a_large_body_is_read_on_a_thread_in_the_context_of_its_request(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    read = SlicedBody.rows

    def rows(body: SlicedBody, row_format: Any) -> np.ndarray:
        seen.append((threading.current_thread().name, request_id.get() or ""))
        return read(body, row_format)

    monkeypatch.setattr(SlicedBody, "rows", rows)
    response = await client.post("/encode", content=LARGE_BODY, headers=JSON_BODY)

    np.testing.assert_allclose(response.json()["codes"], PLANE.encode(ROWS), atol=1e-5)
    assert seen == [("medium-work_0", response.headers["x-request-id"])]


async def test_an_error_of_a_large_body_is_the_error_of_the_request(client: Client) -> None:
    body = b'{"model": "plane", "inputs": [[1, 2, 3]]}' + PADDING

    response = await client.post("/encode", content=body, headers=JSON_BODY)

    detail = expect_problem(response, 422, "invalid-input")["detail"]
    assert detail == "row 0 has 3 values; model plane takes 4"


async def test_small_requests_are_answered_while_large_ones_wait(client: Client) -> None:
    async with blocked_threads() as release:
        large = asyncio.create_task(client.post("/encode", content=LARGE_BODY, headers=JSON_BODY))
        small = await client.rows("encode", ROWS, model="plane")
        assert not large.done()
        release()
        codes = (await large).json()["codes"]

    np.testing.assert_array_equal(np.array(codes, np.float32), small)


async def test_a_large_body_that_waits_too_long_is_answered_and_dropped(
    tiny_models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    monkeypatch.setattr(SlicedBody, "rows", lambda *_: read.append(1))
    async with open_client(tiny_models_dir, request_timeout_seconds=0.2) as client:
        async with blocked_threads():
            response = await client.post("/encode", content=LARGE_BODY, headers=JSON_BODY)
        await off_loop.run_on_thread(1, lambda: None)

    expect_problem(response, 504, "deadline-exceeded")
    assert read == []


async def test_the_result_of_a_body_that_is_read_too_slowly_is_dropped(
    tiny_models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    read = SlicedBody.rows

    def rows(body: SlicedBody, row_format: Any) -> np.ndarray:
        go.wait(30)
        return read(body, row_format)

    monkeypatch.setattr(SlicedBody, "rows", rows)
    async with open_client(tiny_models_dir, request_timeout_seconds=0.2) as client:
        response = await client.post("/encode", content=LARGE_BODY, headers=JSON_BODY)
        go.set()
        again = await client.rows("encode", ROWS, model="plane")

    expect_problem(response, 504, "deadline-exceeded")
    np.testing.assert_allclose(again, PLANE.encode(ROWS), atol=1e-5)


async def test_no_model_is_closed_while_a_body_is_read_that_may_mean_it(
    tiny_models_dir: Path,
) -> None:
    async with open_client(tiny_models_dir) as client:
        catalog = pipeline_of(client)._reconciler.catalog
        model = catalog.resolve("plane", None)
        async with blocked_threads() as release:
            large = asyncio.create_task(
                client.post("/encode", content=LARGE_BODY, headers=JSON_BODY)
            )
            await until(lambda: model.in_use._count > 0)
            drained = asyncio.create_task(model.drain())
            await asyncio.sleep(0.02)
            assert not drained.done()
            release()
            assert (await large).status_code == 200
        await asyncio.wait_for(drained, 10)


@pytest.mark.parametrize("accept", [JSON, RAW, NPY])
async def test_a_large_response_is_what_small_ones_are(tmp_path: Path, accept: str) -> None:
    wide = tiny_model("wide", shape=(4096,))
    publish_tiny(tmp_path, wide)
    rows = wide.rows(768)
    async with open_client(tmp_path) as client:
        headers = {"content-type": RAW, "accept": accept}
        answers: list[bytes] = []
        for part in (rows, rows[:16]):
            response = await client.post("/reconstruct", content=part.tobytes(), headers=headers)
            assert response.status_code == 200
            answers.append(response.content)

    whole, first = (values_of(answer, accept, wide.size) for answer in answers)
    assert whole.shape == rows.shape
    np.testing.assert_allclose(whole, wide.reconstruct(rows), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(whole[:16], first, rtol=1e-3, atol=1e-3)


def values_of(content: bytes, media_type: str, size: int) -> np.ndarray:
    if media_type == JSON:
        return np.array(json.loads(content)["reconstructions"], np.float32)
    start = 0 if media_type == RAW else len(content) % (4 * size)
    return np.frombuffer(content[start:], np.float32).reshape(-1, size)


async def test_many_typed_rows_and_samples_are_written_on_a_thread(client: Client) -> None:
    first, second = [
        await client.answer("sample", model="people", count=9_000, seed=3) for _ in range(2)
    ]

    assert first == second
    assert len(first["samples"]) == 9_000
    assert {type(value) for value in first["samples"][0]} == {float, bool, str}
    assert PEOPLE.size == len(first["samples"][0])


async def test_a_large_contact_sheet_is_written_on_a_thread(client: Client) -> None:
    rows = STAMP.rows(2_000)
    headers = {"content-type": NPY, "accept": "image/png"}

    response = await client.post(
        "/reconstruct?model=stamp", content=npy_bytes(rows), headers=headers
    )

    assert response.content.startswith(b"\x89PNG")
