"""Costly work leaves the event loop, in the context of its task."""

import asyncio
import gc
import threading
import time
import weakref
from contextvars import ContextVar

import pytest

from service.off_loop import CostlyWork, is_on_event_loop, require_thread, run_on_thread

SMALL, LARGE = 1, 10**9

word = ContextVar("word", default="outside")


def test_without_an_event_loop_costly_work_is_done_where_it_is() -> None:
    require_thread(LARGE)

    assert not is_on_event_loop()


async def test_on_an_event_loop_costly_work_is_interrupted_with_its_size() -> None:
    with pytest.raises(CostlyWork) as caught:
        require_thread(LARGE)

    assert caught.value.size == LARGE


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_on_a_thread_it_runs_with_the_variables_of_the_task(size: int) -> None:
    word.set("inside")

    def work(first: int, second: int) -> tuple[int, str, bool]:
        require_thread(size)
        return first + second, word.get(), is_on_event_loop()

    assert await run_on_thread(size, work, 1, second=2) == (3, "inside", False)


async def test_an_error_on_the_thread_is_raised_in_the_task() -> None:
    def fail() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await run_on_thread(SMALL, fail)


async def test_large_work_comes_one_after_another_and_holds_up_neither_loop_nor_smaller_work() -> (
    None
):
    running: list[int] = []
    at_once: list[int] = []

    def work() -> None:
        running.append(1)
        at_once.append(len(running))
        time.sleep(0.05)
        running.pop()

    large = [asyncio.create_task(run_on_thread(LARGE, work)) for _ in range(4)]
    await asyncio.sleep(0.01)
    assert await run_on_thread(SMALL, word.get) == "outside"
    assert not any(task.done() for task in large[1:])
    await asyncio.gather(*large)

    assert at_once == [1, 1, 1, 1]


async def test_cancelled_work_that_waits_is_dropped_and_the_result_of_what_runs_is_too() -> None:
    begun, go = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        go.wait(10)
        done.append("running")

    running = asyncio.create_task(run_on_thread(LARGE, work))
    waiting = asyncio.create_task(run_on_thread(LARGE, done.append, "waiting"))
    assert await asyncio.to_thread(begun.wait, 10)
    for task in (running, waiting):
        task.cancel()
    for task in (running, waiting):
        with pytest.raises(asyncio.CancelledError):
            await task
    go.set()
    await run_on_thread(LARGE, done.append, "later")

    assert done == ["running", "later"]


async def test_cancelled_work_that_waits_keeps_nothing() -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(10)

    class Body:
        pass

    running = asyncio.create_task(run_on_thread(LARGE, work))
    assert await asyncio.to_thread(begun.wait, 10)
    body = Body()
    kept = weakref.ref(body)
    waiting = asyncio.create_task(run_on_thread(LARGE, id, body))
    del body
    await asyncio.sleep(0.01)
    assert kept() is not None
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    del waiting
    gc.collect()

    assert kept() is None
    go.set()
    await running
