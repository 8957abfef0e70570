"""What a queue takes, in which order it runs it, and what it drops: over real sessions."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import DeadlineExceeded, QueueFull
from service.inference.batching.costs import RunCosts
from service.inference.batching.gathering import MAX_SMALL_BATCHES, BatchLimits
from service.inference.batching.jobs import Batch
from service.inference.batching.queued_graph import QueuedGraph
from service.inference.batching.running import RunningBatch
from service.inference.session import Session
from service.request_context import RequestContext
from tests.bundles import PLANE, tiny_manifest
from tests.faulty_model import publish_faulty_model, slow_rows
from tests.graphs import lookup, lookup_rows
from tests.inference.batching.test_queued_graph import bench

pytestmark = pytest.mark.timeout(20)

SECOND_PER_ROW: dict[str, Any] = {"seconds_per_row": 1.0}


async def test_what_would_wait_too_long_is_rejected_at_once_and_told_when_to_come_back() -> None:
    async with bench(max_queue_seconds=7.5, **SECOND_PER_ROW) as running:
        first = await running.occupy()
        waiting = [running.submit(lookup_rows(4)), running.submit(lookup_rows(3))]
        with pytest.raises(QueueFull, match=r"^7 rows wait already; more would wait") as rejected:
            running.submit(lookup_rows(1))
        assert rejected.value.retry_after_seconds == pytest.approx(8, abs=0.5)
        assert 0 < rejected.value.clears_in_seconds < 2
        running.session.open()
        await asyncio.gather(first, *waiting)

        (answer,) = await running.submit(lookup_rows(1))
        assert np.array_equal(answer, lookup(lookup_rows(1)))


async def test_an_idle_graph_takes_any_request_however_long_it_runs() -> None:
    async with bench(gated=False, max_queue_seconds=0.1, **SECOND_PER_ROW) as running:
        (answer,) = await running.submit(lookup_rows(500))
        assert np.array_equal(answer, lookup(lookup_rows(500)))


async def test_what_cannot_begin_before_its_deadline_is_rejected_at_once() -> None:
    async with bench(**SECOND_PER_ROW) as running:
        first = await running.occupy()
        waiting = running.submit(lookup_rows(8))
        with pytest.raises(QueueFull, match="the time limit would pass"):
            running.submit(lookup_rows(1), context=RequestContext(time.monotonic() + 5))
        in_time = running.submit(lookup_rows(1), context=RequestContext(time.monotonic() + 60))
        running.session.open()
        await asyncio.gather(first, waiting, in_time)


async def test_a_large_request_is_worth_a_longer_wait() -> None:
    async with bench(max_queue_seconds=5, **SECOND_PER_ROW) as running:
        first = await running.occupy()
        waiting = running.submit(lookup_rows(10))
        with pytest.raises(QueueFull):
            running.submit(lookup_rows(2))
        large = running.submit(lookup_rows(30))
        running.session.open()
        await asyncio.gather(first, waiting, large)


async def test_large_requests_that_wait_do_not_reject_a_small_one() -> None:
    async with bench(max_queue_seconds=5, **SECOND_PER_ROW) as running:
        first = await running.occupy()
        large = [running.submit(lookup_rows(50)), running.submit(lookup_rows(60))]
        small = running.submit(lookup_rows(3))
        running.session.open()
        await asyncio.gather(first, small, *large)

        assert running.session.sizes[:2] == [1, 3]


async def test_rows_of_a_client_that_leaves_stop_counting_at_once() -> None:
    async with bench(max_queue_seconds=5, queue_rows=60, **SECOND_PER_ROW) as running:
        first = await running.occupy()
        gone = [running.submit(lookup_rows(5)), running.submit(lookup_rows(50))]
        for job in gone:
            job.cancel()
        await asyncio.sleep(0)
        assert running.graph.waiting_rows == 0
        stays = running.submit(lookup_rows(55))
        running.session.open()
        await asyncio.gather(first, stays)

        assert running.session.sizes == [1, 10, 10, 10, 10, 10, 5]
        assert [job.cancelled() for job in gone] == [True, True]


async def test_a_small_request_goes_before_the_pieces_of_a_large_one_that_runs() -> None:
    async with bench() as running:
        large = running.submit(lookup_rows(40))
        await running.session.busy()
        small = running.submit(lookup_rows(2, seed=7))
        running.session.gate.release(2)
        (answer,) = await small

        assert running.session.sizes[:2] == [10, 2]
        assert np.array_equal(answer, lookup(lookup_rows(2, seed=7)))
        assert not large.done()
        running.session.open()
        assert np.array_equal((await large)[0], lookup(lookup_rows(40)))


async def test_a_large_request_runs_on_while_small_ones_never_stop_coming() -> None:
    async with bench(gated=False) as running:
        large = running.submit(lookup_rows(60))
        answered = 0

        async def send_small() -> None:
            nonlocal answered
            while not large.done():
                await running.submit(lookup_rows(10))
                answered += 1

        await asyncio.gather(*(send_small() for _ in range(4)))

    assert np.array_equal((await large)[0], lookup(lookup_rows(60)))
    assert answered <= 6 * MAX_SMALL_BATCHES + 8


@pytest.mark.parametrize(("seconds_per_row", "first"), [(1000.0, 20), (0.0, 60)])
async def test_a_larger_request_gives_way_to_a_smaller_one_only_for_a_time(
    seconds_per_row: float, first: int
) -> None:
    async with bench(seconds_per_row=seconds_per_row, max_rows=10) as running:
        busy = await running.occupy()
        jobs = {rows: running.submit(lookup_rows(rows)) for rows in (60, 20)}
        order: list[int] = []
        for rows, job in jobs.items():
            job.add_done_callback(lambda _, rows=rows: order.append(rows))
        running.session.open()
        await asyncio.gather(busy, *jobs.values())

    assert order[0] == first


@asynccontextmanager
async def slow_graph(folder: Path, max_running: int = 1) -> AsyncIterator[QueuedGraph]:
    encoder = publish_faulty_model(folder).folder / "encoder.onnx"
    session = Session(encoder.read_bytes(), tiny_manifest(PLANE).graphs["encoder"])
    limits = BatchLimits(max_batch_rows=1, max_queue_rows=100, max_running=max_running)
    with ThreadPoolExecutor(max_running) as executor:
        graph = QueuedGraph(session, executor, limits)
        yield graph
        await graph.close()


async def test_a_run_that_nobody_needs_ends_and_the_next_one_begins(tmp_path: Path) -> None:
    async with slow_graph(tmp_path) as graph:
        gone = graph.run(slow_rows(60), context=RequestContext())
        await asyncio.sleep(0.05)
        started = time.perf_counter()
        gone.cancel()
        (codes,) = await graph.run(slow_rows(0.001), context=RequestContext())

    assert time.perf_counter() - started < 5
    assert codes.shape == (1, 2)


async def test_ending_a_run_leaves_those_beside_it_alone(tmp_path: Path) -> None:
    async with slow_graph(tmp_path, max_running=2) as graph:
        gone = graph.run(slow_rows(60), context=RequestContext())
        stays = graph.run(slow_rows(0.2), context=RequestContext())
        await asyncio.sleep(0.05)
        gone.cancel()

        assert (await stays)[0].shape == (1, 2)


async def test_a_batch_runs_on_while_one_of_its_requests_is_needed() -> None:
    async with bench() as running:
        first = await running.occupy()
        gone, stays = running.submit(lookup_rows(2)), running.submit(lookup_rows(3, seed=3))
        running.session.gate.release()
        await first
        await running.session.busy()
        gone.cancel()
        running.session.open()
        (answer,) = await stays

        assert running.session.sizes == [1, 5]
        assert np.array_equal(answer, lookup(lookup_rows(3, seed=3)))


async def test_the_other_pieces_of_a_request_that_failed_do_not_run() -> None:
    async with bench() as running:
        context = RequestContext(time.monotonic() + 3600)
        late = running.submit(lookup_rows(40), context=context)
        await running.session.busy()
        context.deadline = 0.0
        running.session.open()
        with pytest.raises(DeadlineExceeded):
            await late
        assert running.graph.waiting_rows == 0
        assert running.session.sizes == [10]


def test_costs_follow_what_runs_take_at_present() -> None:
    costs = RunCosts(seconds_per_run=1.0, seconds_per_row=0.5)
    assert costs.measured(4) == 3.0
    for _ in range(100):
        costs.observe(4, 6.0)
    assert costs.slowdown == pytest.approx(2, rel=1e-3)
    costs.observe(4, 1e6)
    assert costs.slowdown < 3


def test_a_run_that_is_late_is_expected_to_go_on() -> None:
    running = RunningBatch(Batch([], 0))
    running.started = 100.0
    assert running.seconds_left(100.5, 2.0) == 1.5
    assert running.seconds_left(107.0, 2.0) == 5.0
