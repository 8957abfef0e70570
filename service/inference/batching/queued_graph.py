"""A greedy micro-batcher with a bounded queue in front of one graph.

An idle graph starts at once; whatever arrives while it is busy, or in the same turn of the event
loop, forms the next batch. There is no timer, so an idle service adds no latency and a busy one
fills its batches by itself. Batches below a measured cost run on the event loop itself: handing
them to a thread and back would take longer than they do.
"""

import asyncio
import time
from concurrent.futures import Executor
from functools import partial
from typing import Protocol

from service.arrays import FloatArray
from service.errors import Draining, InferenceFailed, LatentServeError, QueueFull
from service.inference.batching.gathering import GIVE_WAY, BatchLimits, Gathering
from service.inference.batching.jobs import Arrays, Batch, Job
from service.inference.batching.running import Run, RunningBatch, distribute_outputs, run_batch
from service.inference.session import Runnable
from service.request_context import RequestContext

_ROOM_SHARE = 0.1
_MAX_CLEARS_IN_SECONDS = 0.1  # clients that leave make room at once
_INLINE_SECONDS = 0.005  # of one turn of the event loop, while full batches wait


class Meter(Protocol):
    """Records what a queue does, on the event loop."""

    def set_queue_rows(self, rows: int) -> None:
        """Record how many rows wait."""
        ...

    def record_run(self, rows: int, seconds: float) -> None:
        """Record a run that succeeded."""
        ...


class _Unmetered:
    def set_queue_rows(self, rows: int) -> None:
        pass

    def record_run(self, rows: int, seconds: float) -> None:
        pass


class QueuedGraph:
    """A graph behind a queue; a ``Graph``.

    A job whose request was cancelled or whose deadline has passed is dropped before its rows run,
    and a run is ended when none of its jobs needs a result any more. A job that would wait too long
    is rejected at once. When a batch fails, its requests run again one by one, so that each request
    can fail only itself.

    Attributes:
        runnable: The graph.
        limits: How rows are put together and run.
        meter: Records waiting rows and runs.
    """

    def __init__(self, runnable: Runnable, executor: Executor, limits: BatchLimits) -> None:
        """Put a queue in front of a graph.

        Args:
            runnable: The graph.
            executor: Threads that larger batches run on.
            limits: How rows are put together and run.
        """
        self.runnable = runnable
        self.limits = limits
        self.meter: Meter = _Unmetered()
        self._executor = executor
        self._gathering = Gathering(limits)
        self._unchecked_rows = min(limits.max_batch_rows, limits.max_queue_rows)
        self._running: set[RunningBatch] = set()
        self._start_scheduled = False
        self._waiting_since = 0.0
        self._jobs_last_turn = 0
        self._draining = self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for a batch."""
        return self._gathering.rows

    def expected_wait_seconds(self, job: Job) -> float:
        """Estimate how long a job would wait: for what runs, and for what goes before it."""
        gathering = self._gathering
        slowdown = gathering.costs.slowdown
        seconds = gathering.seconds_before(job) * slowdown
        if self._running:
            now = time.perf_counter()
            for running in self._running:
                expected = gathering.costs.measured(running.batch.rows) * slowdown
                seconds += running.seconds_left(now, expected)
        return seconds / self.limits.max_running

    def run(
        self, *inputs: FloatArray, context: RequestContext, exclusive: bool = False
    ) -> asyncio.Future[Arrays]:
        """Send rows through the graph; see ``Graph.run``.

        Raises:
            QueueFull: Too many rows wait already, or it would wait too long.
            DeadlineExceeded: The deadline passed before all rows had run.
            Draining: The graph takes no more rows.
            InferenceFailed: onnxruntime failed on these rows.
        """
        if self._draining:
            raise _stopping()
        gathering = self._gathering
        result: asyncio.Future[Arrays] = asyncio.get_running_loop().create_future()
        job = Job(inputs, context, exclusive, gathering.seconds_per_row, result)
        if exclusive or job.rows > self.limits.max_batch_rows:
            gathering.estimate(job)
        if self._running or gathering.rows + job.rows > self._unchecked_rows:
            self._check_wait(job)
            self._watch(job)
        gathering.add(job)
        self.meter.set_queue_rows(gathering.rows)
        self._idle.clear()
        self._schedule_start()
        return result

    async def drain(self) -> None:
        """Take no more rows, and return when all that were taken have run."""
        self._draining = True
        await self._idle.wait()

    async def close(self) -> None:
        """Take no more rows, end what runs and fail what waits."""
        self._closed = True
        self.runnable.stop()
        for running in self._running:
            running.end()
        await self.drain()

    def _check_wait(self, job: Job) -> None:
        """Reject a job that is not worth its wait; one in the next batch always is.

        A larger one is worth a longer wait: it is not over quickly anyway.
        """
        rows, limits = self._gathering.rows, self.limits
        if rows == 0 and not self._running and job.rows <= limits.max_queue_rows:
            return
        wait = self.expected_wait_seconds(job)
        if rows + job.rows > limits.max_queue_rows:
            raise QueueFull(
                f"{rows} rows wait already; {job.rows} more would exceed the limit of"
                f" {limits.max_queue_rows}",
                wait,
            )
        allowed = limits.max_queue_seconds
        if job.large:
            allowed += GIVE_WAY * job.rows * job.seconds_per_row
        if wait > allowed:
            # So much later there is room for a tenth of the queue, not for this one request alone.
            clears_in = min(wait - (1 - _ROOM_SHARE) * allowed, _MAX_CLEARS_IN_SECONDS)
            raise QueueFull(f"{rows} rows wait already; more would wait too long", wait, clears_in)
        if 0 < job.context.deadline - time.monotonic() < wait:
            raise QueueFull(
                f"{rows} rows wait already; the time limit would pass before more run", wait
            )

    def _watch(self, job: Job) -> None:
        """Get to know when its sender needs no result any more; a short run is sooner over."""
        if not job.is_watched:
            job.is_watched = True
            job.result.add_done_callback(partial(self._forget_cancelled, job))

    def _forget_cancelled(self, job: Job, result: "asyncio.Future[Arrays]") -> None:
        if result.cancelled():
            self._forget(job)

    def _forget(self, job: Job) -> None:
        """Drop what waits of a job that needs no result, and end runs that are for it alone."""
        self._gathering.forget(job)
        self.meter.set_queue_rows(self._gathering.rows)
        for running in self._running:
            if running.stopped is None and running.batch.is_unwanted:
                running.end()

    def _schedule_start(self) -> None:
        """Start batches in a later turn of the loop, when more requests may have come."""
        if not self._start_scheduled:
            self._start_scheduled = True
            self._jobs_last_turn = 1
            asyncio.get_running_loop().call_soon(self._start_when_quiet)

    def _start_when_quiet(self) -> None:
        """Wait another turn while requests keep coming, unless a batch gains nothing from more."""
        jobs = len(self._gathering)
        if self._jobs_last_turn < jobs and not self._gathering.is_efficient:
            self._jobs_last_turn = jobs
            asyncio.get_running_loop().call_soon(self._start_when_quiet)
        else:
            self._start_batches()

    def _start_batches(self) -> None:
        self._start_scheduled = False
        inline_seconds = 0.0
        while len(self._running) < self.limits.max_running:
            batch = self._gathering.next_batch()
            self.meter.set_queue_rows(self._gathering.rows)
            if batch is None:
                break
            if batch.rows <= self.limits.max_inline_rows:
                inline_seconds += self._run_inline(batch)
                if self._gathering.is_efficient and inline_seconds < _INLINE_SECONDS:
                    continue
                if self._gathering:
                    self._schedule_start()
                    return
                break
            self._run_on_thread(batch)
        if not (self._running or self._gathering):
            self._idle.set()

    def _run_inline(self, batch: Batch) -> float:
        """Run a batch on the event loop; return the seconds it took.

        While more waits, what counts is how fast batches follow each other.
        """
        run = run_batch(self.runnable, batch)
        self._finish(batch, run)
        if self._waiting_since or self._gathering.rows:
            ended = time.perf_counter()
            started = self._waiting_since or ended - run.seconds
            self._gathering.costs.observe(batch.rows, ended - started)
            self._waiting_since = ended if self._gathering.rows else 0.0
        return run.seconds

    def _run_on_thread(self, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        running = RunningBatch(batch)
        try:
            run = loop.run_in_executor(
                self._executor, run_batch, self.runnable, batch, running.stop
            )
        except RuntimeError as error:  # the threads have been shut down
            failed = InferenceFailed(f"{type(error).__name__}: there are no threads to run on")
            self._finish(batch, Run(failed))
            return
        self._running.add(running)
        for piece in batch.pieces:
            self._watch(piece.job)
        run.add_done_callback(partial(self._finish_thread, running))

    def _finish_thread(self, running: RunningBatch, run: "asyncio.Future[Run]") -> None:
        self._running.discard(running)
        outcome = Run(_stopping()) if run.cancelled() else run.result()
        if not isinstance(outcome.outputs, LatentServeError):
            seconds = time.perf_counter() - running.started
            self._gathering.costs.observe(running.batch.rows, seconds)
        self._finish(running.batch, outcome)
        self._start_batches()

    def _finish(self, batch: Batch, run: Run) -> None:
        if not isinstance(run.outputs, LatentServeError):
            self.meter.record_run(batch.rows, run.seconds)
            distribute_outputs(batch, run.outputs, run)
        elif len(batch.pieces) == 1:
            # Closing ends runs, which then fail as if the graph had failed.
            job = batch.pieces[0].job
            job.fail(_stopping() if self._closed else run.outputs)
            self._forget(job)  # its other pieces
        else:
            self._gathering.retry_alone(batch.pieces)


def _stopping() -> Draining:
    return Draining("the service is stopping")
