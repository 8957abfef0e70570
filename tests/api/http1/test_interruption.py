"""A request on the fast path is answered once, whatever becomes of it meanwhile."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.api.exchange import ClientGoneError, Exchange
from service.errors import DeadlineExceeded
from service.metrics import families
from tests.api.clients import SHARED_LOOP
from tests.api.sockets import Client, Server, open_server, request, until
from tests.bundles import PLANE
from tests.faulty_model import publish_faulty_model, slow_rows

pytestmark = SHARED_LOOP

ROWS = PLANE.rows(2)
JSON_BODY = json.dumps({"model": "plane", "inputs": ROWS.tolist()}).encode()
GOOD = request(JSON_BODY)
SECONDS = 0.5


def slow(seconds: float = SECONDS) -> bytes:
    return request(json.dumps({"inputs": slow_rows(seconds).tolist()}).encode())


def counted(server: Server, status: int, model: str = "plane") -> float:
    """How many encodings were answered so; of no model where they did not get that far."""
    version = "1" if model else ""
    segment = server.service.memory.segments[0]
    return segment.cells(families.REQUESTS, "encode", model, version, str(status))[0]


def exchange_of(client: Client) -> Exchange:
    exchange = client.connection.exchange
    assert exchange is not None
    return exchange


async def task_of(exchange: Exchange) -> asyncio.Task[None]:
    """Return the task that works for it, once it has started."""
    await until(lambda: exchange.task is not None)
    assert exchange.task is not None
    return exchange.task


async def expect_codes(client: Client) -> None:
    answer = await client.receive()
    assert answer.status == 200, answer.body
    np.testing.assert_allclose(answer.json()["codes"], PLANE.encode(ROWS), atol=1e-5)


async def test_what_comes_in_pieces_is_the_same_body(faulty_server: Server) -> None:
    async with faulty_server.connect() as client:
        for size in (1, 7, 64, len(GOOD)):
            pieces = [GOOD[first : first + size] for first in range(0, len(GOOD), size)]
            await client.deliver(*pieces)
            await expect_codes(client)


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_a_body_in_thousands_of_pieces_takes_little_more_than_its_bytes(
    faulty_server: Server, size: int
) -> None:
    blanks = 30_000
    body = JSON_BODY[:9] + b" " * blanks + JSON_BODY[9:]
    pieces = [body[first : first + size] for first in range(0, len(body), size)]
    async with faulty_server.connect() as client:
        await client.deliver(request(body)[: -len(body)], *pieces[:-1])
        held = client.connection._pieces
        assert sum(map(sys.getsizeof, held)) < 2 * blanks + 100_000
        assert sum(map(len, held)) == len(body) - len(pieces[-1])
        await client.deliver(pieces[-1])
        await expect_codes(client)


@pytest.mark.slow
async def test_an_interruption_between_an_outcome_and_its_answer_is_the_answer(
    faulty_server: Server,
) -> None:
    """An outcome wakes its request in the loop's next turn: much can happen before that."""
    before = counted(faulty_server, 200), counted(faulty_server, 500), counted(faulty_server, 504)
    loop = asyncio.get_running_loop()

    async with faulty_server.connect() as client:
        await client.deliver(slow())
        exchange = exchange_of(client)
        task: Any = await task_of(exchange)
        outcome = task._fut_waiter

        def interrupt_when_done() -> None:
            if outcome.done():
                assert not task.done()
                exchange.interrupt(DeadlineExceeded("too late"))
            else:
                loop.call_soon(interrupt_when_done)

        interrupt_when_done()
        late = await client.receive()
        await client.deliver(GOOD)
        await expect_codes(client)

    assert late.status == 504
    assert late.json()["detail"] == "too late"
    after = counted(faulty_server, 200), counted(faulty_server, 500), counted(faulty_server, 504)
    assert after == (before[0] + 1, before[1], before[2] + 1)


@pytest.mark.parametrize("times", [1, 3])
async def test_an_interrupted_request_is_answered_once(faulty_server: Server, times: int) -> None:
    async with faulty_server.connect() as client:
        await client.deliver(slow())
        exchange = exchange_of(client)
        task = await task_of(exchange)
        for _ in range(times):
            exchange.interrupt(DeadlineExceeded("too late"))
        assert task.cancel()
        assert (await client.receive()).status == 504
        await client.deliver(GOOD)
        await expect_codes(client)


async def test_a_request_that_was_answered_is_not_interrupted(faulty_server: Server) -> None:
    before = counted(faulty_server, 499)
    async with faulty_server.connect() as client:
        await client.deliver(GOOD)
        exchange = exchange_of(client)
        await expect_codes(client)
        exchange.interrupt(ClientGoneError())
        await client.deliver(GOOD)
        await expect_codes(client)

    assert counted(faulty_server, 499) == before


async def test_a_cancelled_request_is_told_that_the_service_stops(faulty_server: Server) -> None:
    async with faulty_server.connect() as client:
        await client.deliver(slow())
        task = await task_of(exchange_of(client))
        assert task in faulty_server.tasks()
        task.cancel("because the server stops")
        answer = await client.receive()

        await until(lambda: task not in faulty_server.tasks())

    assert (answer.status, answer.json()["type"]) == (503, "/errors#draining")
    assert answer.json()["detail"] == "the service stopped before the response was ready"
    assert answer.values("retry-after") == ["1"]


@pytest.mark.slow
async def test_rows_of_a_client_that_left_never_run(tmp_path: Path) -> None:
    """The graph works on something else meanwhile: those rows are dropped while they wait."""
    publish_faulty_model(tmp_path)
    async with (
        open_server(tmp_path) as server,
        server.connect() as occupied,
        server.connect() as client,
    ):
        memory = server.service.memory.segments[0]
        rows = memory.cells(families.BATCH_ROWS, "plane", "1", "encoder")
        ran = rows[0]
        await occupied.deliver(slow())
        async with server.connect() as leaving:
            await leaving.deliver(slow())
            await task_of(exchange_of(leaving))
        await until(lambda: counted(server, 499) == 1)
        await client.deliver(GOOD)
        assert (await occupied.receive()).status == 200
        await expect_codes(client)
        assert rows[0] == ran + 1 + len(ROWS)


async def test_the_body_of_a_client_that_left_is_forgotten(faulty_server: Server) -> None:
    gone = counted(faulty_server, 499, model="")
    async with faulty_server.connect() as client:
        await client.deliver(GOOD[:-1])
        exchange = exchange_of(client)
        assert not exchange.body_received

    assert exchange.is_interrupted
    assert client.connection.exchange is None
    assert client.connection._pieces == []
    assert counted(faulty_server, 499, model="") == gone + 1


async def test_an_interruption_before_the_task_starts_is_answered(faulty_server: Server) -> None:
    async with faulty_server.connect() as client:
        await client.deliver(GOOD[:-1])
        exchange = exchange_of(client)
        exchange.interrupt(DeadlineExceeded("too late"))
        assert client.connection.exchange is None
        assert (await client.receive()).status == 504
        await client.deliver(GOOD[-1:] + GOOD)
        await expect_codes(client)


@pytest.mark.parametrize("length", ["999999", "999999 ", "\t999999\t"])
async def test_what_is_rejected_by_its_head_never_waits(tiny_models_dir: Path, length: str) -> None:
    too_large = request(headers={"Content-Length": length})
    async with (
        open_server(tiny_models_dir, max_body_bytes=1024) as server,
        server.connect() as client,
    ):
        await client.deliver(too_large)
        assert client.connection.exchange is None
        assert server.tasks() == set()
        # A tab is malformed to httptools 0.6 and white space to later versions.
        assert (await client.receive()).status in ((400, 413) if "\t" in length else (413,))


async def test_a_chunked_body_is_rejected_as_soon_as_it_is_too_large(tiny_models_dir: Path) -> None:
    head = request(headers={"Content-Length": "", "Transfer-Encoding": "chunked"})
    piece = b"%x\r\n%s\r\n" % (512, b" " * 512)
    async with (
        open_server(tiny_models_dir, max_body_bytes=1024) as server,
        server.connect() as client,
    ):
        await client.deliver(head, piece, piece)
        await client.deliver(piece)
        assert (await client.receive()).status == 413
        await client.deliver(piece * 9 + b"0\r\n\r\n" + request(JSON_BODY))
        await expect_codes(client)
