"""Time passes: requests run out of it, and connections that only wait are closed."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import pytest_asyncio

from service.api.http1.connection_watch import ConnectionWatch
from service.api.http1.limits import ConnectionLimits
from tests.api.clients import SHARED_LOOP
from tests.api.sockets import Client, Server, chunks, open_server, request, until
from tests.bundles import PLANE
from tests.faulty_model import publish_faulty_model, slow_rows

pytestmark = SHARED_LOOP

ROWS = PLANE.rows(2)
BODY = json.dumps({"inputs": ROWS.tolist()}).encode()
GOOD = request(BODY)
SLOW = request(json.dumps({"inputs": slow_rows(0.3).tolist()}).encode())
VERY_SLOW = request(json.dumps({"inputs": slow_rows(3.0).tolist()}).encode())
HEALTHZ = request(method="GET", path="/healthz")
HEALTHZ_WITHOUT_ITS_BODY = request(method="GET", path="/healthz", headers={"Content-Length": "1"})
REFUSED_HEAD = request(headers={"Content-Type": "text/csv", "Content-Length": str(len(BODY))})
LATER = float("inf")
LIMITS = ConnectionLimits(100, 5, 5, 5, 1000)
CLOCK_SECONDS = 0.002
"""How far the event loop's clock, which is read once a turn, may lag behind."""


class Open:
    """A connection that keeps how it was asked."""

    def __init__(self) -> None:
        self.due = 0.0
        self.asked: list[float] = []

    def check(self, now: float) -> None:
        self.asked.append(now)


class Timers:
    """Stands for the event loop's module: counts timers, and hurries them.

    Attributes:
        set: Timers that have not gone off yet.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
        self.set = 0
        monkeypatch.setattr(f"service.api.{module}.asyncio", self)

    def get_running_loop(self) -> Self:
        return self

    def call_later(self, _: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        self.set += 1

        def go_off() -> None:
            self.set -= 1
            callback()

        return asyncio.get_running_loop().call_later(0.001, go_off)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Server]:
    folder = tmp_path_factory.mktemp("moody")
    publish_faulty_model(folder)
    async with open_server(folder, request_timeout_seconds=0.2) as server:
        yield server


async def expect_codes(client: Client) -> None:
    answer = await client.receive()
    assert answer.status == 200, answer.body
    np.testing.assert_allclose(answer.json()["codes"], PLANE.encode(ROWS), atol=1e-5)


async def expect_too_late(client: Client, unfinished: str) -> None:
    answer = await client.receive()
    assert (answer.status, answer.json()["type"]) == (504, "/errors#deadline-exceeded")
    assert answer.json()["detail"] == f"the time limit passed while {unfinished}"


async def answered(client: Client) -> None:
    """Make a request until there is time for it."""
    for _ in range(1000):
        await client.deliver(GOOD)
        answer = await client.receive()
        if answer.status == 200:
            return
        assert answer.status == 504
    raise AssertionError


CUT = {
    "a body that never begins": GOOD[: -len(BODY)],
    "a body that never ends": GOOD[:-1],
    "a chunked body that never ends": request(
        headers={"Content-Length": "", "Transfer-Encoding": "chunked"}
    )
    + chunks(BODY)[:-1],
    "a body that was asked for": request(headers={"Expect": "100-continue", "Content-Length": "9"}),
}


@pytest.mark.parametrize("cut", CUT.values(), ids=CUT)
async def test_a_body_is_not_waited_for_forever(hasty_server: Server, cut: bytes) -> None:
    async with hasty_server.connect() as client:
        started = time.monotonic()
        await client.deliver(cut)
        if b"Expect" in cut:
            assert (await client.receive()).status == 100
        await expect_too_late(client, "the body was on its way")

        assert time.monotonic() - started >= 0.2 - CLOCK_SECONDS


@pytest.mark.parametrize("known", [0, 1, len(BODY) - 1])
async def test_what_is_left_of_a_body_whose_time_passed_is_dropped(
    hasty_server: Server, known: int
) -> None:
    async with hasty_server.connect() as client:
        await client.deliver(GOOD[: known - len(BODY)])
        await expect_too_late(client, "the body was on its way")

        await client.deliver(BODY[known:])
        await answered(client)


async def test_a_model_is_not_waited_for_forever(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    async with (
        open_server(tmp_path, request_timeout_seconds=0.2) as server,
        server.connect() as client,
    ):
        started = time.monotonic()
        await client.deliver(request(json.dumps({"inputs": slow_rows(1.0).tolist()}).encode()))
        await expect_too_late(client, "the model worked")

        assert time.monotonic() - started >= 0.2 - CLOCK_SECONDS


async def test_a_request_in_time_is_not_interrupted(faulty_server: Server) -> None:
    async with faulty_server.connect() as client:
        await client.deliver(SLOW)
        assert (await client.receive()).status == 200


@pytest.mark.parametrize("path", ["/encode", "/%65ncode"], ids=["straight", "ASGI"])
async def test_a_busy_connection_is_not_idle(faulty_server: Server, path: str) -> None:
    slow = SLOW.replace(b"/encode", path.encode())
    async with faulty_server.connect() as client:
        await client.deliver(slow)
        client.connection.check(LATER)
        assert not client.transport.is_closing()
        assert (await client.receive()).status == 200


@pytest.mark.parametrize("path", ["/encode", "/%65ncode"], ids=["straight", "ASGI"])
@pytest.mark.parametrize(
    "first",
    [request(b"nonsense"), REFUSED_HEAD + BODY, GOOD],
    ids=["rejected", "rejected by its head", "answered"],
)
async def test_a_connection_is_busy_with_its_second_request_too(
    faulty_server: Server, first: bytes, path: str
) -> None:
    slow = SLOW.replace(b"/encode", path.encode())
    async with faulty_server.connect() as client:
        await client.deliver(first + slow)
        assert (await client.receive()).status in (200, 400, 415)
        client.connection.check(LATER)
        assert not client.transport.is_closing()
        assert (await client.receive()).status == 200


async def test_a_body_is_waited_for_while_it_goes_on(faulty_server: Server) -> None:
    body = b" " * 100_000 + BODY
    whole = request(body)
    async with faulty_server.connect() as client:
        await client.deliver(GOOD)
        await expect_codes(client)
        for first in range(0, 100_000, 20_000):
            await client.deliver(whole[first : first + 20_000])
            assert client.connection.due > time.monotonic()
            client.connection.check(time.monotonic())
            assert client.connection.is_answering
        await client.deliver(whole[100_000:])
        await expect_codes(client)


STALLED = {
    "a body": GOOD[:-1],
    "a chunked body": request(headers={"Content-Length": "", "Transfer-Encoding": "chunked"})
    + chunks(BODY)[:-1],
    "a body for the application": request(b"x", "/%65ncode")[:-1],
    "the beginning of a head": b"POST",
}


@pytest.mark.parametrize("said", STALLED.values(), ids=STALLED)
async def test_what_stops_coming_is_refused(faulty_server: Server, said: bytes) -> None:
    async with faulty_server.connect() as client:
        await client.deliver(GOOD)
        await expect_codes(client)
        await client.deliver(said)
        assert time.monotonic() < client.connection.due < time.monotonic() + 20
        client.connection.check(time.monotonic())
        (answer,) = await client.answers()

    assert (answer.status, answer.json()["type"]) == (408, "/errors#transfer-too-slow")
    assert answer.values("connection") == ["close"]


IDLE = {
    "an answer": [GOOD],
    "two responses": [GOOD, GOOD],
    "a response of the application": [HEALTHZ],
    "a line end": [GOOD, b"\r\n"],
    "a rejection": [REFUSED_HEAD],
    "a rejection, and then some": [REFUSED_HEAD, BODY[:-1]],
    "a rejection, and the body": [REFUSED_HEAD, BODY],
    "a response of the application to a body that never comes": [HEALTHZ_WITHOUT_ITS_BODY],
    "nothing": [],
}


@pytest.mark.parametrize("pieces", IDLE.values(), ids=IDLE)
async def test_a_connection_is_idle_after(faulty_server: Server, pieces: list[bytes]) -> None:
    async with faulty_server.connect() as client:
        for piece in pieces:
            await client.deliver(piece)
            await client.settle()

        assert time.monotonic() < client.connection.due <= time.monotonic() + 75
        client.connection.check(client.connection.due)
        await until(client.has_ended)


async def test_line_ends_do_not_keep_a_connection(faulty_server: Server) -> None:
    async with faulty_server.connect() as client:
        await client.deliver(GOOD)
        await expect_codes(client)
        due = client.connection.due
        await client.deliver(b"\r\n", b"\r\n\r\n")

        assert client.connection.due == due


async def test_a_connection_that_is_never_left_is_closed(faulty_server: Server) -> None:
    """The client has seen the end of the responses, and sends on."""
    async with faulty_server.connect() as client:
        await client.deliver(b"nonsense\r\n\r\n")
        assert [answer.status for answer in await client.answers()] == [400]
        assert not client.transport.is_closing()
        await client.deliver(GOOD)
        client.connection.check(client.connection.due)
        await until(client.is_gone)


@pytest.mark.slow
@pytest.mark.parametrize(
    "last", [GOOD, HEALTHZ, GOOD + HEALTHZ, HEALTHZ + GOOD], ids=["call", "other", "co", "oc"]
)
async def test_idle_connections_are_closed_after_a_while(
    tiny_models_dir: Path, last: bytes
) -> None:
    async with (
        open_server(tiny_models_dir, keep_alive_seconds=1, default_model="plane") as server,
        server.connect() as client,
    ):
        await client.deliver(GOOD)
        await expect_codes(client)
        began = time.monotonic()
        await client.deliver(last)
        answers = await client.answers()

        assert {answer.status for answer in answers} == {200}
        assert time.monotonic() - began >= 1 - CLOCK_SECONDS
        await until(client.is_gone)
        assert not server.is_open(client.protocol)


@pytest.mark.slow
async def test_busy_connections_are_kept_however_long_it_takes(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    async with (
        open_server(tmp_path, keep_alive_seconds=1, head_timeout_seconds=0.1) as server,
        server.connect() as client,
    ):
        await client.deliver(request(b"nonsense") + VERY_SLOW)
        answers = await client.answers()

    assert [answer.status for answer in answers] == [400, 200]


async def test_nothing_is_timed_when_nothing_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    timers = Timers(monkeypatch, "http1.connection_watch")
    watch = ConnectionWatch(LIMITS)
    assert timers.set == 0

    connection = Open()
    before = time.monotonic()
    watch.add(connection)
    assert timers.set == 1
    watch.add(Open())
    assert timers.set == 1
    await until(lambda: connection.asked)
    assert before <= connection.asked[0] <= time.monotonic()
    assert timers.set == 1

    watch.connections.clear()
    await until(lambda: timers.set == 0)
    watch.add(connection)
    assert timers.set == 1
    watch.connections.clear()
    await until(lambda: timers.set == 0)


async def test_one_timer_checks_all_requests(
    faulty_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faulty_server.connect() as client, faulty_server.connect() as other:
        timer = faulty_server.service.pipeline.timer
        await until(lambda: not timer._ticking)
        timers = Timers(monkeypatch, "deadline_timer")
        await client.deliver(SLOW)
        await other.deliver(SLOW.replace(b"/encode", b"/%65ncode"))
        await until(lambda: len(timer.exchanges) == 2)
        assert timers.set == 1
        assert (await client.receive()).status == 200
        assert (await other.receive()).status == 200
        await until(lambda: timer.exchanges == set())
        await until(lambda: not timer._ticking)


async def test_connections_are_swept_while_they_are_open(faulty_server: Server) -> None:
    async with faulty_server.connect() as client:
        open_ones = client.connection._watch.connections
        assert client.connection in open_ones
    assert client.connection not in open_ones
