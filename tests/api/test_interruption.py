"""One timer watches all open requests, and each ends with the reason for its interruption."""

import asyncio
import time
from typing import Any

import pytest

from service.api.interruption import ClientGoneError, Watch
from service.errors import DeadlineExceeded

FOREVER = float("inf")


class Client:
    """A client that leaves when a test says so."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        await self.leaves.wait()
        return {"type": "http.disconnect"}


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of every timer that the event loop is asked for while the test runs."""
    delays: list[float] = []
    call_later = asyncio.BaseEventLoop.call_later

    def noting(self: Any, delay: float, *arguments: Any, **context: Any) -> asyncio.TimerHandle:
        delays.append(delay)
        return call_later(self, delay, *arguments, **context)

    monkeypatch.setattr(asyncio.BaseEventLoop, "call_later", noting)
    return delays


async def test_a_client_that_leaves_ends_its_own_request_and_no_other() -> None:
    watch, leaving, staying = Watch(), Client(), Client()

    async def work(client: Client, seconds: float) -> str:
        with watch.begin(FOREVER) as interruption:
            interruption.watch_client(client.receive)
            await asyncio.sleep(seconds)
        return "done"

    first, second = (
        asyncio.ensure_future(work(leaving, 30)),
        asyncio.ensure_future(work(staying, 0.2)),
    )
    leaving.leaves.set()

    with pytest.raises(ClientGoneError):
        await first
    assert await second == "done"


@pytest.mark.parametrize(
    ("body_has_come", "unfinished"),
    [(False, "the body was on its way"), (True, "the model worked")],
)
async def test_a_deadline_says_what_was_unfinished(body_has_come: bool, unfinished: str) -> None:
    with (  # noqa: PT012  # the context raises
        pytest.raises(DeadlineExceeded, match=unfinished),
        Watch().begin(time.monotonic() + 0.05) as interruption,
    ):
        if body_has_come:
            interruption.watch_client(Client().receive)
        await asyncio.sleep(30)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0  # whoever answers with the reason may wait again


async def test_a_cancellation_by_others_stays_one() -> None:
    async def work() -> None:
        with Watch().begin(FOREVER):
            await asyncio.sleep(30)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_short_requests_share_a_timer_and_nobody_watches_their_clients(
    timers: list[float],
) -> None:
    watch, client = Watch(), Client()
    for _ in range(100):
        with watch.begin(FOREVER) as interruption:
            interruption.watch_client(client.receive)

    assert len(timers) == 1
    assert client.asked == 0


async def test_without_open_requests_there_is_no_timer(timers: list[float]) -> None:
    with (watch := Watch()).begin(FOREVER):
        pass
    await asyncio.sleep(0.1)
    looks = len(timers)
    await asyncio.sleep(0.1)

    assert len(timers) == looks + 1  # of this wait itself
    with watch.begin(FOREVER):
        assert len(timers) == looks + 2
