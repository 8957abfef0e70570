"""Bytes that are open are counted once, limited, and given back whatever becomes of a request."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.api.capacity.open_bytes import OpenBytes
from service.errors import MemoryFull
from tests.api.clients import RAW, SHARED_LOOP, Client, expect_problem, lifespan
from tests.api.sockets import Server, chunks, open_server, request, until
from tests.bundles import PLANE

ROWS = PLANE.rows(3)
GOOD = json.dumps({"model": "plane", "inputs": ROWS.tolist()}).encode()
CHUNKED = {"Content-Length": "", "Transfer-Encoding": "chunked"}
LIMIT = 100_000


def test_what_would_exceed_the_limit_is_not_held() -> None:
    budget = OpenBytes(10)
    budget.take(6)
    with pytest.raises(MemoryFull, match="6 bytes are open; 5 more would exceed the limit of 10"):
        budget.take(5)
    assert budget.held == 6
    budget.give_back(6)
    budget.take(10)
    assert budget.held == 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_models_dir: Path) -> AsyncGenerator[Server]:
    limits: dict[str, Any] = {
        "max_open_bytes": LIMIT,
        "max_body_bytes": 50_000,
        "max_response_bytes": 60_000,
    }
    async with open_server(tiny_models_dir, request_timeout_seconds=0.5, **limits) as server:
        yield server


ANSWERED = {
    "an answer": (request(GOOD), 200),
    "a chunked one": (request(headers=CHUNKED) + chunks(GOOD[:20], GOOD[20:]), 200),
    "over ASGI": (request(GOOD, "/%65ncode"), 200),
    "a mistake": (request(b"nonsense" * 1000), 400),
    "a mistake over ASGI": (request(b"nonsense" * 1000, "/%65ncode"), 400),
    "a body that is too large": (request(headers=CHUNKED) + chunks(b" " * 60_000), 413),
    "a type that is not read": (request(GOOD, headers={"Content-Type": "text/csv"}), 415),
    "a response that would be too large": (
        request(path="/sample?model=postcard&count=1000"),
        413,
    ),
    "more than all may have": (
        request(b" " * 45_000 + GOOD, headers={"Accept": RAW}).replace(
            b"/encode", b"/reconstruct?"
        ),
        200,
    ),
}


@SHARED_LOOP
@pytest.mark.parametrize(("said", "status"), ANSWERED.values(), ids=ANSWERED)
async def test_nothing_stays_open_behind(server: Server, said: bytes, status: int) -> None:
    async with server.connect() as client:
        await client.send(said)
        assert (await client.receive()).status == status

    await until(lambda: server.service.pipeline.open_bytes.held == 0)


@SHARED_LOOP
@pytest.mark.parametrize("path", ["/encode", "/%65ncode"])
async def test_nothing_stays_open_behind_a_client_that_leaves(server: Server, path: str) -> None:
    budget = server.service.pipeline.open_bytes
    said = request(b" " * 30_000 + GOOD, path)
    async with server.connect() as client:
        await client.deliver(said[:25_000])
        await until(lambda: budget.held >= 20_000)

    await until(lambda: budget.held == 0)


@SHARED_LOOP
async def test_the_newcomer_is_told_to_come_again_while_others_have_it_all(server: Server) -> None:
    budget = server.service.pipeline.open_bytes
    said = request(b" " * 45_000 + GOOD)
    async with server.connect() as first, server.connect() as second, server.connect() as third:
        await first.deliver(said[:-1])
        await second.deliver(said[:-1])
        assert budget.held <= LIMIT
        await third.deliver(said)
        refused = await third.receive()
        await first.deliver(said[-1:])
        assert (await first.receive()).status == 200
        await third.deliver(said)
        assert (await third.receive()).status == 200

    assert (refused.status, refused.json()["type"]) == (503, "/errors#memory-full")
    assert refused.values("retry-after") == ["1"]
    await until(lambda: budget.held == 0)


@SHARED_LOOP
async def test_other_servers_have_the_same_budget(server: Server) -> None:
    app, budget = server.service.app, server.service.pipeline.open_bytes
    async with lifespan(app), Client(app) as client:
        assert (await client.post("/encode", content=GOOD)).status_code == 200
        budget.add(LIMIT)
        try:
            expect_problem(await client.post("/encode", content=GOOD), 503, "memory-full")
        finally:
            budget.add(-LIMIT)
    assert budget.held == 0
