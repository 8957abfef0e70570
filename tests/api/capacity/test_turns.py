"""Turns of the event loop are shared, and requests that would wait too long are rejected."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest

from service.api.capacity.refusals import Refusals
from service.api.capacity.turns import TURN_SECONDS, Turns
from service.errors import QueueFull
from tests.api.clients import expect_problem, open_client
from tests.bundles import PLANE
from tests.faulty_model import publish_faulty_model, slow_rows


def work(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def proceed(turns: Turns, seconds: float, done: list[int], number: int) -> None:
    if turns.is_over:
        await turns.wait()
    work(seconds)
    turns.spend(seconds)
    done.append(number)


async def test_nothing_waits_below_the_share_of_a_turn() -> None:
    turns = Turns(1.0)
    for _ in range(3):
        turns.spend(TURN_SECONDS / 4)
        assert not turns.is_over


async def test_requests_beyond_the_share_proceed_in_order_and_all_else_has_its_turn() -> None:
    turns = Turns(60.0)
    done: list[int] = []
    requests = [
        asyncio.ensure_future(proceed(turns, TURN_SECONDS, done, number)) for number in range(20)
    ]
    seen: list[int] = []
    while len(done) < len(requests):
        await asyncio.sleep(0)
        seen.append(len(done))

    assert done == list(range(20))
    assert max(after - before for before, after in pairwise(seen)) <= 10
    assert turns.waiting == 0


async def test_what_would_wait_too_long_is_rejected_until_what_waits_has_proceeded() -> None:
    turns = Turns(0.05)
    done: list[int] = []
    await proceed(turns, TURN_SECONDS, done, 0)
    requests = [
        asyncio.ensure_future(proceed(turns, TURN_SECONDS, done, number)) for number in range(20)
    ]
    await asyncio.sleep(3 * TURN_SECONDS)
    more = [asyncio.ensure_future(proceed(turns, 0, done, number)) for number in range(200)]
    outcomes = await asyncio.gather(*more, return_exceptions=True)
    await asyncio.gather(*requests)
    rejected = [outcome for outcome in outcomes if isinstance(outcome, QueueFull)]

    assert len(rejected) == 200
    assert sorted(done) == sorted([0, *range(20)])
    assert all(error.retry_after_seconds > 0.05 for error in rejected)
    turns.check()


async def test_a_client_that_leaves_while_it_waits_stops_counting() -> None:
    turns = Turns(60.0)
    turns.spend(TURN_SECONDS)
    waiting = asyncio.ensure_future(turns.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert turns.waiting == 0


async def test_bodies_are_read_on_one_after_another_and_rejected_ones_last() -> None:
    turns = Turns(60.0)
    read: list[str] = []
    for name, wanted, begun in (
        ("rejected", False, False), ("second", True, False), ("first", True, True),
    ):  # fmt: skip
        turns.resume_later(lambda name=name: read.append(name), wanted=wanted, begun=begun)
    await asyncio.sleep(0)

    assert read == ["first", "second", "rejected"]


def test_a_request_like_one_just_rejected_is_rejected_by_its_head_for_a_time() -> None:
    refusals = Refusals()
    refusals.add(("/encode", b"model=a", 10), QueueFull("a", 1.5, 0.05))
    refusals.add(("/encode", b"model=b", 10), QueueFull("b", 1.5))
    for key in (("/encode", b"model=b", 10), ("/encode", b"model=a", 11), ("/decode", b"", 10)):
        refusals.check(key)
    with pytest.raises(QueueFull) as rejected:
        refusals.check(("/encode", b"model=a", 10))
    assert rejected.value.retry_after_seconds == 1.5
    time.sleep(0.06)
    refusals.check(("/encode", b"model=a", 10))
    assert not refusals.is_any


async def test_a_rejected_request_is_told_after_how_many_seconds_to_come_back(
    tmp_path: Path,
) -> None:
    publish_faulty_model(tmp_path)
    async with open_client(tmp_path, max_queue_seconds=0.5, request_timeout_seconds=4) as client:
        slow = asyncio.create_task(client.call("encode", inputs=slow_rows(60).tolist()))
        await asyncio.sleep(2.2)  # longer than any run was when it was measured
        response = await client.call("encode", inputs=PLANE.rows(1).tolist())
        expect_problem(response, 503, "queue-full")
        assert 2 <= int(response.headers["retry-after"]) <= 3
        expect_problem(await slow, 504, "deadline-exceeded")
        assert (await client.call("encode", inputs=PLANE.rows(1).tolist())).status_code == 200
