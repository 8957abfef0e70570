"""A greedy micro-batcher with a bounded queue in front of one graph.

An idle graph starts at once; whatever arrives while it is busy, or in the same turn of the event
loop, forms the next batch. There is no timer, so an idle service adds no latency and a busy one
fills its batches by itself. Batches below a measured cost run on the event loop itself: handing
them to a thread and back would take longer than they do.
"""

import asyncio
from concurrent.futures import Executor
from functools import partial
from typing import Protocol

from service.arrays import FloatArray
from service.errors import Draining, InferenceFailed, LatentServeError, QueueFull
from service.inference.batching.gathering import BatchLimits, Gathering
from service.inference.batching.jobs import Arrays, Batch, Job
from service.inference.batching.running import Run, distribute_outputs, run_batch
from service.inference.session import Runnable
from service.request_context import RequestContext


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

    A job whose request was cancelled or whose deadline has passed is dropped before its rows run.
    When a batch fails, its requests run again one by one, so that each request can fail only
    itself.

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
        self._running = 0
        self._start_scheduled = False
        self._jobs_last_turn = 0
        self._draining = self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for a batch."""
        return self._gathering.rows

    def run(
        self, *inputs: FloatArray, context: RequestContext, exclusive: bool = False
    ) -> asyncio.Future[Arrays]:
        """Send rows through the graph; see ``Graph.run``.

        Raises:
            QueueFull: Too many rows wait already.
            DeadlineExceeded: The deadline passed before all rows had run.
            Draining: The graph takes no more rows.
            InferenceFailed: onnxruntime failed on these rows.
        """
        rows = len(inputs[0])
        gathering = self._gathering
        if self._draining:
            raise _stopping()
        if gathering.rows + rows > self.limits.max_queue_rows:
            raise QueueFull(
                f"{gathering.rows} rows wait already; {rows} more would exceed the limit of"
                f" {self.limits.max_queue_rows}"
            )
        result: asyncio.Future[Arrays] = asyncio.get_running_loop().create_future()
        gathering.add(Job(inputs, context, exclusive, result))
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
        await self.drain()

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
        while self._running < self.limits.max_running:
            batch = self._gathering.next_batch()
            self.meter.set_queue_rows(self._gathering.rows)
            if batch is None:
                break
            if batch.rows <= self.limits.max_inline_rows:
                self._finish(batch, run_batch(self.runnable, batch))
                if self._gathering:
                    self._schedule_start()
                    return
                break
            self._run_on_thread(batch)
        if not (self._running or self._gathering):
            self._idle.set()

    def _run_on_thread(self, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        try:
            run = loop.run_in_executor(self._executor, run_batch, self.runnable, batch)
        except RuntimeError as error:  # the threads have been shut down
            failed = InferenceFailed(f"{type(error).__name__}: there are no threads to run on")
            self._finish(batch, Run(failed))
            return
        self._running += 1
        run.add_done_callback(partial(self._finish_thread, batch))

    def _finish_thread(self, batch: Batch, run: "asyncio.Future[Run]") -> None:
        self._running -= 1
        self._finish(batch, Run(_stopping()) if run.cancelled() else run.result())
        self._start_batches()

    def _finish(self, batch: Batch, run: Run) -> None:
        if not isinstance(run.outputs, LatentServeError):
            self.meter.record_run(batch.rows, run.seconds)
            distribute_outputs(batch, run.outputs, run)
        elif len(batch.pieces) == 1:
            # Closing ends runs, which then fail as if the graph had failed.
            batch.pieces[0].job.fail(_stopping() if self._closed else run.outputs)
        else:
            self._gathering.retry_alone(batch.pieces)


def _stopping() -> Draining:
    return Draining("the service is stopping")
