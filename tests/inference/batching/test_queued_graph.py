"""The micro-batcher, over real sessions, threads and event loops; no test waits for a clock."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.arrays import FloatArray
from service.errors import (
    DeadlineExceeded,
    Draining,
    InferenceFailed,
    LatentServeError,
    QueueFull,
)
from service.inference.batching.gathering import BatchLimits
from service.inference.batching.queued_graph import QueuedGraph
from service.inference.session import RunStop, Session
from service.request_context import RequestContext
from tests.bundles import WAVE, tiny_files, tiny_manifest
from tests.graphs import BAD_ROW, LOOKUP, LOOKUP_SIGNATURE, Array, lookup, lookup_rows

pytestmark = pytest.mark.timeout(20)


class WatchedSession(Session):
    """A real session that remembers its batches and lets each of them run when a test says so."""

    def __init__(self, *, gated: bool = False) -> None:
        super().__init__(LOOKUP, LOOKUP_SIGNATURE)
        self.batches: list[Array] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.gated = gated

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]

    def run(self, *inputs: FloatArray, stop: RunStop | None = None) -> tuple[FloatArray, ...]:
        self.batches.append(inputs[0].copy())
        self.entered.release()
        if self.gated:
            self.gate.acquire()
        return super().run(*inputs, stop=stop)

    async def busy(self) -> None:
        """Wait until a batch has been handed to the worker thread."""
        await asyncio.to_thread(self.entered.acquire)

    def open(self) -> None:
        """Let every batch run from now on."""
        self.gated = False
        self.gate.release(1000)


Run = Coroutine[Any, Any, tuple[FloatArray, ...]]


class Bench:
    """One queued graph over a watched session."""

    def __init__(
        self,
        executor: ThreadPoolExecutor,
        session: WatchedSession,
        *,
        max_rows: int = 10,
        queue_rows: int = 1000,
        **limits: Any,
    ) -> None:
        self.session = session
        self.graph = QueuedGraph(
            session,
            executor,
            BatchLimits(max_batch_rows=max_rows, max_queue_rows=queue_rows, **limits),
        )

    def submit(self, rows: Array, **options: Any) -> "asyncio.Future[tuple[FloatArray, ...]]":
        options.setdefault("context", RequestContext())
        return self.graph.run(rows, **options)

    async def occupy(self) -> "asyncio.Future[tuple[FloatArray, ...]]":
        """Send one row and return once it is being run, so that what follows has to wait."""
        task = self.submit(lookup_rows(1, seed=99))
        await self.session.busy()
        return task


@asynccontextmanager
async def bench(*, gated: bool = True, **limits: Any) -> AsyncIterator[Bench]:
    session = WatchedSession(gated=gated)
    with ThreadPoolExecutor(2) as executor:
        try:
            yield Bench(executor, session, **limits)
        finally:
            session.open()


async def turns(count: int = 3) -> None:
    """Let the event loop go round, so that tasks that can proceed have done so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_idle_graph_starts_without_any_timer() -> None:
    submitted: list[Callable[..., Any]] = []

    class NotingExecutor(ThreadPoolExecutor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            submitted.append(fn)
            return super().submit(fn, *args, **kwargs)

    with NotingExecutor(1) as executor:
        running = Bench(executor, WatchedSession())
        rows = lookup_rows(3)
        task = running.submit(rows)
        await turns(2)  # one for the request's task, one for the batcher's

        assert len(submitted) == 1
        (answer,) = await task
        assert np.array_equal(answer, lookup(rows))
        assert running.session.sizes == [3]


async def test_requests_of_one_turn_share_the_first_batch() -> None:
    async with bench(gated=False) as running:
        requests = [lookup_rows(count, seed=count) for count in (1, 2, 3)]
        answers = await asyncio.gather(*map(running.submit, requests))

        assert running.session.sizes == [6]
        for (answer,), rows in zip(answers, requests, strict=True):
            assert np.array_equal(answer, lookup(rows))


async def test_what_arrives_while_busy_forms_one_batch_in_order_of_arrival() -> None:
    async with bench() as running:
        first = await running.occupy()
        requests = [lookup_rows(count, seed=count) for count in (2, 1, 3)]
        tasks = []
        for rows in requests:
            tasks.append(running.submit(rows))
            await turns()
        assert running.graph.waiting_rows == 6
        running.session.open()
        answers = await asyncio.gather(*tasks)
        await first

        assert running.session.sizes == [1, 6]
        assert np.array_equal(running.session.batches[1], np.concatenate(requests))
        for (answer,), rows in zip(answers, requests, strict=True):
            assert np.array_equal(answer, lookup(rows))
        assert running.graph.waiting_rows == 0


@pytest.mark.parametrize(
    ("rows", "sizes"), [(9, [9]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])]
)
async def test_a_large_request_runs_in_several_batches_and_is_answered_as_one(
    rows: int, sizes: list[int]
) -> None:
    async with bench(gated=False) as running:
        inputs = lookup_rows(rows)
        (answer,) = await running.submit(inputs)

        assert running.session.sizes == sizes
        assert np.array_equal(answer, lookup(inputs))


async def test_the_rest_of_a_large_request_shares_its_batch_with_what_fits_whole() -> None:
    async with bench() as running:
        requests = [lookup_rows(count, seed=count) for count in (14, 10, 9, 8, 5)]
        tasks = [running.submit(requests[0])]
        await running.session.busy()
        tasks += [running.submit(rows) for rows in requests[1:]]
        await turns()
        running.session.open()
        answers = await asyncio.gather(*tasks)

        assert running.session.sizes == [10, 10, 9, 8, 9]
        for (answer,), rows in zip(answers, requests, strict=True):
            assert np.array_equal(answer, lookup(rows))


async def test_a_batch_with_enough_rows_waits_for_no_more_but_parts_no_request() -> None:
    async with bench(efficient_rows=4) as running:
        first = await running.occupy()
        tasks = [running.submit(lookup_rows(count)) for count in (3, 3, 3, 9)]
        await turns()
        running.session.open()
        await asyncio.gather(first, *tasks)

        assert running.session.sizes == [1, 6, 3, 9]


@pytest.mark.parametrize(("last", "sizes"), [(3, [1, 9]), (4, [1, 10]), (5, [1, 6, 5])])
async def test_a_request_that_exactly_fills_a_batch_is_in_it(last: int, sizes: list[int]) -> None:
    async with bench() as running:
        first = await running.occupy()
        tasks = [running.submit(lookup_rows(count)) for count in (6, last)]
        await turns()
        running.session.open()
        await asyncio.gather(first, *tasks)

        assert running.session.sizes == sizes


async def test_a_batch_with_exactly_efficient_rows_takes_no_more() -> None:
    async with bench(efficient_rows=4) as running:
        first = await running.occupy()
        tasks = [running.submit(lookup_rows(count)) for count in (2, 2, 3)]
        await turns()
        running.session.open()
        await asyncio.gather(first, *tasks)

        assert running.session.sizes == [1, 4, 3]


@pytest.mark.parametrize(("rows", "turns_until_it_starts"), [(3, 2), (4, 1)])
async def test_exactly_efficient_rows_start_without_another_turn_of_the_loop(
    rows: int, turns_until_it_starts: int
) -> None:
    async with bench(efficient_rows=4) as running:
        tasks = [running.submit(lookup_rows(count)) for count in (1, rows - 1)]
        await turns(turns_until_it_starts - 1)
        assert running.graph.waiting_rows == rows
        await turns(1)
        assert running.graph.waiting_rows == 0

        running.session.open()
        await asyncio.gather(*tasks)


async def test_an_exclusive_request_shares_its_batch_with_nobody() -> None:
    async with bench() as running:
        first = await running.occupy()
        tasks = [
            running.submit(lookup_rows(2)),
            running.submit(lookup_rows(3), exclusive=True),
            running.submit(lookup_rows(1)),
            running.submit(lookup_rows(1)),
            running.submit(lookup_rows(1), exclusive=True),
            running.submit(lookup_rows(1), exclusive=True),
        ]
        await turns()
        running.session.open()
        await asyncio.gather(first, *tasks)

        assert running.session.sizes == [1, 2, 3, 2, 1, 1]


async def test_a_large_exclusive_request_is_cut_the_same_way_whatever_else_waits() -> None:
    async with bench() as running:
        first = await running.occupy()
        inputs = lookup_rows(23)
        tasks = [
            running.submit(lookup_rows(4)),
            running.submit(inputs, exclusive=True),
            running.submit(lookup_rows(4)),
        ]
        await turns()
        running.session.open()
        _, (answer,), _ = await asyncio.gather(*tasks)
        await first

        assert running.session.sizes == [1, 8, 10, 10, 3]
        assert np.array_equal(answer, lookup(inputs))


async def test_an_exclusive_request_has_a_limit_of_its_own_that_no_measurement_moves() -> None:
    sizes = []
    for max_rows in (2, 5, 64):
        session = WatchedSession()
        with ThreadPoolExecutor(1) as executor:
            graph = QueuedGraph(
                session,
                executor,
                BatchLimits(max_batch_rows=max_rows, max_queue_rows=100, max_exclusive_rows=8),
            )
            rows = lookup_rows(19)
            (answer,) = await graph.run(rows, context=RequestContext(), exclusive=True)
        assert np.array_equal(answer, lookup(rows))
        sizes.append(session.sizes)

    assert sizes == [[8, 8, 3]] * 3


async def test_a_cancelled_request_is_dropped_before_it_runs() -> None:
    async with bench() as running:
        first = await running.occupy()
        gone, stays = running.submit(lookup_rows(4)), running.submit(lookup_rows(2))
        await turns()
        gone.cancel()
        running.session.open()
        (answer,) = await stays
        await first

        assert gone.cancelled()
        assert running.session.sizes == [1, 2]
        assert np.array_equal(answer, lookup(lookup_rows(2)))
        assert running.graph.waiting_rows == 0


async def test_the_rest_of_a_large_request_is_dropped_when_its_client_leaves() -> None:
    async with bench() as running:
        large = running.submit(lookup_rows(45))
        await running.session.busy()
        assert running.graph.waiting_rows == 35
        large.cancel()
        await turns()
        running.session.open()
        (answer,) = await running.submit(lookup_rows(3))

        assert running.session.sizes == [10, 3]
        assert np.array_equal(answer, lookup(lookup_rows(3)))
        assert running.graph.waiting_rows == 0


async def test_a_request_whose_deadline_passed_while_it_waited_is_dropped_before_it_runs() -> None:
    async with bench() as running:
        first = await running.occupy()
        context = RequestContext(deadline=time.monotonic() + 3600)
        late, stays = (
            running.submit(lookup_rows(4), context=context),
            running.submit(lookup_rows(2)),
        )
        await turns()
        context.deadline = time.monotonic() - 1e-9
        running.session.open()
        with pytest.raises(DeadlineExceeded, match="while rows waited"):
            await late
        await asyncio.gather(first, stays)

        assert running.session.sizes == [1, 2]
        assert running.graph.waiting_rows == 0


async def test_a_large_request_whose_deadline_passes_between_batches_stops() -> None:
    async with bench() as running:
        context = RequestContext(deadline=time.monotonic() + 3600)
        large = running.submit(lookup_rows(45), context=context)
        await running.session.busy()
        context.deadline = time.monotonic() - 1e-9
        running.session.open()
        with pytest.raises(DeadlineExceeded):
            await large

        assert running.session.sizes == [10]
        assert running.graph.waiting_rows == 0


async def test_a_full_queue_refuses_at_once_and_takes_work_again_when_it_has_emptied() -> None:
    async with bench(queue_rows=8) as running:
        first = await running.occupy()
        waiting = [running.submit(lookup_rows(5)), running.submit(lookup_rows(3))]
        await turns()
        with pytest.raises(QueueFull, match=r"^8 rows wait already; 1 more .* limit of 8$"):
            await running.graph.run(lookup_rows(1), context=RequestContext())
        assert running.graph.waiting_rows == 8
        running.session.open()
        await asyncio.gather(first, *waiting)

        (answer,) = await running.graph.run(lookup_rows(8), context=RequestContext())
        assert np.array_equal(answer, lookup(lookup_rows(8)))
        assert running.session.sizes == [1, 8, 8]


async def test_a_request_that_fails_in_a_batch_fails_alone() -> None:
    async with bench() as running:
        first = await running.occupy()
        good, bad, better = (
            running.submit(rows) for rows in (lookup_rows(2, 1), BAD_ROW, lookup_rows(3, 2))
        )
        await turns()
        running.session.open()
        results = await asyncio.gather(good, bad, better, return_exceptions=True)
        await first

        assert isinstance(results[1], InferenceFailed)
        assert np.array_equal((await good)[0], lookup(lookup_rows(2, 1)))
        assert np.array_equal((await better)[0], lookup(lookup_rows(3, 2)))
        assert running.session.sizes == [1, 6, 2, 1, 3]


async def test_a_request_that_left_while_its_batch_failed_does_not_run_again() -> None:
    async with bench() as running:
        first = await running.occupy()
        bad, gone = running.submit(BAD_ROW), running.submit(lookup_rows(4))
        await turns()
        running.session.gate.release()
        await first
        await running.session.busy()
        gone.cancel()
        running.session.open()
        with pytest.raises(InferenceFailed):
            await bad
        (answer,) = await running.submit(lookup_rows(2))

        assert running.session.sizes == [1, 5, 1, 2]
        assert np.array_equal(answer, lookup(lookup_rows(2)))


async def test_a_large_request_that_fails_in_its_first_batch_runs_no_other() -> None:
    async with bench(gated=False) as running:
        rows = np.concatenate([lookup_rows(3), BAD_ROW, lookup_rows(26)])
        with pytest.raises(InferenceFailed):
            await running.submit(rows)
        (answer,) = await running.submit(lookup_rows(2))

        assert running.session.sizes == [10, 2]
        assert np.array_equal(answer, lookup(lookup_rows(2)))
        assert running.graph.waiting_rows == 0


@pytest.mark.parametrize("rows", [1, 25])
async def test_an_unexpected_fault_fails_its_request_and_nothing_after_it(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(gated=False) as running:

        def fail(*_: FloatArray, **__: object) -> tuple[FloatArray, ...]:
            raise KeyError("of ours")

        with monkeypatch.context() as patched:
            patched.setattr(running.session, "run", fail)
            with pytest.raises(InferenceFailed, match=r"^KeyError while running a batch"):
                await running.submit(lookup_rows(rows))

        (answer,) = await running.submit(lookup_rows(2))
        assert np.array_equal(answer, lookup(lookup_rows(2)))
        assert running.graph.waiting_rows == 0


async def test_outputs_that_cannot_be_shared_out_fail_their_requests_and_nothing_after_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(gated=False) as running:
        with monkeypatch.context() as patched:
            patched.setattr(running.session, "run", lambda *_, **__: (np.float32(0),))
            results = await asyncio.gather(
                *(running.submit(lookup_rows(count)) for count in (2, 3)), return_exceptions=True
            )
        assert [type(result) for result in results] == [InferenceFailed, InferenceFailed]

        (answer,) = await running.submit(lookup_rows(2))
        assert np.array_equal(answer, lookup(lookup_rows(2)))


async def test_threads_that_are_gone_fail_a_request_instead_of_hanging_it() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    running = Bench(executor, WatchedSession())

    with pytest.raises(InferenceFailed, match="RuntimeError"):
        await running.submit(lookup_rows(1))


async def test_closing_ends_what_runs_fails_what_waits_and_takes_no_more() -> None:
    async with bench() as running:
        first = await running.occupy()
        waiting = [running.submit(lookup_rows(count, count)) for count in (4, 3, 25)]
        await turns()
        closing = asyncio.ensure_future(running.graph.close())
        await turns()
        with pytest.raises(Draining):
            await running.graph.run(lookup_rows(1), context=RequestContext())
        assert not closing.done()
        running.session.open()
        await closing

        outcomes = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Draining] * 4
        assert running.graph.waiting_rows == 0


async def test_closing_an_idle_graph_takes_no_time() -> None:
    async with bench() as running:
        await running.graph.close()

        with pytest.raises(Draining):
            await running.submit(lookup_rows(1))


async def test_a_ticket_tells_waiting_from_running() -> None:
    async with bench() as running:
        first = await running.occupy()
        context = RequestContext()
        task = running.submit(lookup_rows(25), context=context)
        await turns()
        before = time.perf_counter()
        running.session.gate.release()
        await first
        await running.session.busy()
        waited = context.queue_seconds
        running.session.open()
        await task
        after = time.perf_counter()

        assert waited > 0
        assert waited <= context.queue_seconds
        assert 0 < context.inference_seconds < after - before


async def test_several_inputs_and_outputs_are_cut_and_joined_alike() -> None:
    signature = tiny_manifest(WAVE).graphs["encoder"]
    session = Session(tiny_files(WAVE)["encoder.onnx"], signature)
    with ThreadPoolExecutor(1) as executor:
        graph = QueuedGraph(session, executor, BatchLimits(max_batch_rows=4, max_queue_rows=100))
        requests = [WAVE.rows(count, seed=count) for count in (3, 9, 1)]
        answers = await asyncio.gather(
            *(graph.run(rows, context=RequestContext()) for rows in requests)
        )

    for (codes, log_variances), rows in zip(answers, requests, strict=True):
        assert np.allclose(codes, WAVE.encode(rows), atol=1e-5)
        assert np.array_equal(log_variances, -codes)


requests_of_many_kinds = st.lists(
    st.fixed_dictionaries(
        {
            "rows": st.integers(1, 30),
            "kind": st.sampled_from(["good", "good", "good", "bad", "late"]),
            "exclusive": st.booleans(),
            "arrives": st.integers(0, 12),
            "leaves": st.none() | st.integers(0, 12),
        }
    ),
    min_size=1,
    max_size=25,
)


limits_of_many_kinds = st.fixed_dictionaries(
    {
        "max_rows": st.integers(1, 16),
        "max_exclusive_rows": st.integers(1, 16),
        "max_inline_rows": st.integers(0, 8),
        "max_running": st.integers(1, 3),
    }
)


@settings(max_examples=60)
@given(requests_of_many_kinds, limits_of_many_kinds)
def test_whatever_arrives_leaves_and_fails_every_answer_is_that_of_a_run_alone(
    requests: list[dict[str, Any]], limits: dict[str, int]
) -> None:
    asyncio.run(answers_are_those_of_runs_alone(requests, limits))


async def answers_are_those_of_runs_alone(
    requests: list[dict[str, Any]], limits: dict[str, int]
) -> None:
    async with bench(gated=False, **limits) as running:
        outcomes = await asyncio.gather(
            *(send(running, number, request) for number, request in enumerate(requests))
        )
        await running.graph.close()

        assert running.graph.waiting_rows == 0
        most = max(limits["max_rows"], limits["max_exclusive_rows"])
        assert max(running.session.sizes, default=0) <= most
        for number, (request, outcome) in enumerate(zip(requests, outcomes, strict=True)):
            if isinstance(outcome, asyncio.CancelledError):
                assert request["leaves"] is not None
            elif request["kind"] == "late":
                assert isinstance(outcome, DeadlineExceeded)
            elif request["kind"] == "bad":
                assert isinstance(outcome, InferenceFailed)
            else:
                assert not isinstance(outcome, BaseException)
                (answer,) = outcome
                expected = lookup(rows_of(number, request))
                assert np.abs(answer - expected).max() <= 1e-6 * max(1, np.abs(expected).max())


def rows_of(number: int, request: dict[str, Any]) -> Array:
    rows = lookup_rows(request["rows"], seed=number)
    if request["kind"] == "bad":
        rows[number % len(rows)] = BAD_ROW
    return rows


async def send(
    running: Bench, number: int, request: dict[str, Any]
) -> tuple[FloatArray, ...] | LatentServeError | asyncio.CancelledError:
    await turns(request["arrives"])
    deadline = 0.0 if request["kind"] == "late" else float("inf")
    task = running.submit(
        rows_of(number, request), context=RequestContext(deadline), exclusive=request["exclusive"]
    )
    if request["leaves"] is not None:
        await turns(request["leaves"])
        task.cancel()
    try:
        return await task
    except (LatentServeError, asyncio.CancelledError) as error:
        return error
