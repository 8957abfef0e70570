"""Whatever runs for a request runs in a real task, whichever way the request came.

An operation that awaits what ordinary asyncio programs await is asked for over the straight, over
uvicorn and ASGI, and over ASGI alone.
"""

import asyncio
import contextvars
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.lowlevel
import anyio.to_thread
import numpy as np
import pytest
import pytest_asyncio

from service.api.dialects.native.dialect import NativeDialect, NativeEndpoint
from service.catalog.catalog import Catalog
from service.inference.autoencoder import Autoencoder
from service.log_config import request_id
from service.operations.encode import Codes, Encode
from service.operations.operation import Work
from tests.api.clients import SHARED_LOOP, Client
from tests.api.sockets import Server, open_server, request
from tests.bundles import PLANE

pytestmark = SHARED_LOOP

ROWS = PLANE.rows(2)
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
Way = Literal["straight", "socket and ASGI", "ASGI"]


async def sleep() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)


async def timeout_that_passes() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)


async def timeout_in_time() -> None:
    async with asyncio.timeout(60):
        await asyncio.sleep(0)
    assert await asyncio.wait_for(asyncio.sleep(0, "value"), 60) == "value"


async def lock() -> None:
    mutex, order = asyncio.Lock(), list[int]()

    async def hold(number: int) -> None:
        async with mutex:
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*map(hold, range(3)))
    assert order == [0, 1, 2]


async def executor() -> None:
    assert await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2]) == 3
    VARIABLE.set("in the task")
    assert await asyncio.to_thread(VARIABLE.get) == "in the task"


async def task_group() -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
    assert [task.result() for task in tasks] == [0, 1, 2]


async def failing_task_group() -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(60))
            group.create_task(_fail())
    except* ZeroDivisionError:
        await asyncio.sleep(0)


async def _fail() -> None:
    raise ZeroDivisionError


async def context_variable() -> None:
    token = VARIABLE.set("outer")
    await asyncio.sleep(0)
    assert VARIABLE.get() == "outer"
    assert await asyncio.create_task(_read_variable()) == "outer"
    VARIABLE.reset(token)
    await asyncio.sleep(0)
    assert VARIABLE.get() == "unset"


async def _read_variable() -> str:
    return VARIABLE.get()


async def current_task() -> None:
    task = asyncio.current_task()
    assert isinstance(task, asyncio.Task)
    await asyncio.sleep(0)
    assert asyncio.current_task() is task
    assert request_id.get() == "mine"


async def with_anyio() -> None:
    await anyio.lowlevel.checkpoint()
    with anyio.move_on_after(0.001) as scope:
        await anyio.sleep(60)
    assert scope.cancelled_caught
    assert await anyio.to_thread.run_sync(lambda: 5) == 5
    results: list[int] = []

    async def add(number: int) -> None:
        await anyio.lowlevel.checkpoint()
        results.append(number)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(add, number)
    assert sorted(results) == [0, 1, 2]


AWAITS: dict[str, Callable[[], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        sleep,
        timeout_that_passes,
        timeout_in_time,
        lock,
        executor,
        task_group,
        failing_task_group,
        context_variable,
        current_task,
        with_anyio,
    )
}


class AwaitingEncode(Encode):
    """Encodes, once it has awaited what the test asks for."""

    def __init__(self, awaits: Callable[[], Awaitable[None]]) -> None:
        self.awaits = awaits

    async def run(self, autoencoder: Autoencoder, work: Work[None]) -> Codes:
        await self.awaits()
        codes = await super().run(autoencoder, work)
        await self.awaits()
        return codes


@dataclass(frozen=True)
class AwaitingDialect:
    """Has the awaiting operation where encoding was."""

    inner: NativeDialect
    awaits: Callable[[], Awaitable[None]]

    def match(self, path: str) -> NativeEndpoint | None:
        endpoint = self.inner.match(path)
        if endpoint is None or path != "/encode":
            return endpoint
        return replace(endpoint, call=replace(endpoint.call, operation=AwaitingEncode(self.awaits)))


@dataclass(frozen=True)
class SpeechlessDialect:
    """Fails to write a problem."""

    inner: NativeDialect

    def match(self, path: str) -> NativeEndpoint | None:
        endpoint = self.inner.match(path)
        return None if endpoint is None else SpeechlessEndpoint(**vars(endpoint))


class SpeechlessEndpoint(NativeEndpoint):
    """Fails to write a problem."""

    def find_example(self, catalog: Catalog, model: str | None) -> Mapping[str, Any] | None:  # noqa: ARG002  # it fails at once
        raise ZeroDivisionError


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_models_dir: Path) -> AsyncGenerator[Server]:
    async with open_server(tiny_models_dir, default_model="plane") as server:
        yield server


async def ask(
    server: Server, way: Way, document: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Encode the rows, or what else is sent; return the response's document and status."""
    body = json.dumps(document or {"inputs": ROWS.tolist()}).encode()
    if way == "ASGI":
        async with Client(server.service.app) as client:
            response = await client.post("/encode", content=body, headers={"X-Request-Id": "mine"})
        return {"status": response.status_code, **response.json()}
    path = "/encode" if way == "straight" else "/%65ncode"
    async with server.connect() as client:
        await client.send(request(body, path, headers={"X-Request-Id": "mine"}))
        answer = await client.receive()
    return {"status": answer.status, **answer.json()}


@pytest.mark.parametrize("way", ["straight", "socket and ASGI", "ASGI"])
@pytest.mark.parametrize("awaits", AWAITS)
async def test_what_is_awaited_works(
    server: Server, monkeypatch: pytest.MonkeyPatch, awaits: str, way: Way
) -> None:
    pipeline = server.service.pipeline
    (dialect,) = pipeline._dialects
    assert isinstance(dialect, NativeDialect)
    monkeypatch.setattr(pipeline, "_dialects", (AwaitingDialect(dialect, AWAITS[awaits]),))

    document = await asyncio.create_task(ask(server, way))

    assert document["status"] == 200, document
    np.testing.assert_allclose(document["codes"], PLANE.encode(ROWS), atol=1e-5)
    assert VARIABLE.get() == "unset"
    assert request_id.get() is None


async def test_a_request_sees_nothing_that_the_request_before_it_set(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = server.service.pipeline
    (dialect,) = pipeline._dialects
    assert isinstance(dialect, NativeDialect)
    seen: list[str] = []

    async def set_and_leave() -> None:
        if len(seen) % 2 == 0:
            seen.append(VARIABLE.get())
            VARIABLE.set("of another request")
        else:
            seen.append("after the rows ran")
        await asyncio.sleep(0)

    monkeypatch.setattr(pipeline, "_dialects", (AwaitingDialect(dialect, set_and_leave),))
    body = json.dumps({"inputs": ROWS.tolist()}).encode()

    async with server.connect() as client:
        await client.send(request(body) * 3)
        for _ in range(3):
            assert (await client.receive()).status == 200

    assert seen[::2] == ["unset"] * 3


@pytest.mark.parametrize("way", ["straight", "socket and ASGI", "ASGI"])
async def test_a_deadline_ends_whatever_is_awaited(
    server: Server, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    pipeline = server.service.pipeline
    (dialect,) = pipeline._dialects
    assert isinstance(dialect, NativeDialect)
    ended: list[str] = []

    async def wait_for_ever() -> None:
        for exchange in pipeline.timer.exchanges:
            exchange.context.deadline = 0.0
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)  # what is awaited while being cancelled is awaited too
            ended.append(request_id.get() or "")

    monkeypatch.setattr(pipeline, "_dialects", (AwaitingDialect(dialect, wait_for_ever),))

    document = await ask(server, way)

    assert document["status"] == 504
    assert document["type"] == "/errors#deadline-exceeded"
    assert ended == ["mine"]


@pytest.mark.parametrize("way", ["straight", "socket and ASGI", "ASGI"])
async def test_a_problem_that_cannot_be_written_is_another_problem(
    server: Server, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    pipeline = server.service.pipeline
    (dialect,) = pipeline._dialects
    assert isinstance(dialect, NativeDialect)
    monkeypatch.setattr(pipeline, "_dialects", (SpeechlessDialect(dialect),))

    async with asyncio.timeout(5):
        answer = await ask(server, way, {"inputs": "none"})

    assert answer["status"] == 500
    assert answer["type"].endswith("#internal-error")
