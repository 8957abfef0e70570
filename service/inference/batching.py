"""A greedy micro-batcher with a bounded queue in front of one graph.

An idle graph starts at once; whatever arrives while it is busy, or in the same turn of the event
loop, forms the next batch. There is no timer, so an idle service adds no latency and a busy one
fills its batches by itself. Batches below a measured cost run on the event loop itself: handing
them to a thread and back would take longer than they do.
"""

import asyncio
import time
from collections import deque
from concurrent.futures import Executor
from functools import partial
from typing import Protocol

from service.arrays import FloatArray
from service.errors import (
    DeadlineExceeded,
    Draining,
    InferenceFailed,
    LatentServeError,
    QueueFull,
)
from service.inference.batches import Arrays, Batch, Job, Piece, Result
from service.inference.graphs import Graph, Onward, RequestContext, all_finite
from service.inference.session import Runnable


class Meter(Protocol):
    """Is told what a queue does, on the event loop."""

    def set_queue_rows(self, rows: int) -> None:
        """Take note of the rows that wait now."""
        ...

    def record_run(self, rows: int, seconds: float) -> None:
        """Take note of a run."""
        ...


class _Unmetered:
    def set_queue_rows(self, rows: int) -> None:
        pass

    def record_run(self, rows: int, seconds: float) -> None:
        pass


class QueuedGraph:
    """A graph behind a queue.

    A client that has gone (its coroutine cancelled) or whose deadline has passed is dropped
    before its rows run. When a batch fails, its requests run again one by one, so that only
    the one at fault fails.

    Attributes:
        session: The graph.
        meter: Is told of waiting rows and of runs.
    """

    def __init__(  # noqa: PLR0913  # limits, each by its name
        self,
        session: Runnable,
        executor: Executor,
        *,
        max_batch_rows: int,
        max_queue_rows: int,
        enough_rows: int | None = None,
        max_exclusive_rows: int | None = None,
        max_inline_rows: int = 0,
        max_running: int = 1,
    ) -> None:
        """Put a queue in front of a session.

        Args:
            session: The graph.
            executor: Threads that larger batches run on.
            max_batch_rows: Most rows of one run; larger requests run in several.
            max_queue_rows: Most rows that may wait; further requests are refused.
            enough_rows: Rows with which a batch does not wait for more; as many as
                ``max_batch_rows`` by default.
            max_exclusive_rows: Most rows of one run of an exclusive request. Fixed where
                ``max_batch_rows`` was measured, so that it is cut the same way everywhere.
            max_inline_rows: Most rows of a run that is done on the event loop.
            max_running: Most batches that run at the same time, each on a thread of its own.
        """
        self.session = session
        self.meter: Meter = _Unmetered()
        self._executor = executor
        self._max_batch_rows = max_batch_rows
        self._max_queue_rows = max_queue_rows
        self._enough_rows = enough_rows or max_batch_rows
        self._max_exclusive_rows = max_exclusive_rows or max_batch_rows
        self._max_inline_rows = max_inline_rows
        self._max_running = max_running
        self._jobs: deque[Job] = deque()
        self._alone: deque[Piece] = deque()
        self._handed_over: deque[Batch] = deque()
        self._waiting_rows = 0
        self._running = 0
        self._woken = False
        self._seen = 0
        self._admitting = True
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for a batch."""
        return self._waiting_rows

    def run(
        self,
        *inputs: FloatArray,
        context: RequestContext,
        exclusive: bool = False,
        onward: Onward | None = None,
    ) -> asyncio.Future[Arrays]:
        """Send rows through the graph; see ``Graph.run``.

        Rows that were let in here are let in at the graph they go on to.

        Raises:
            QueueFull: Too many rows wait already.
            DeadlineExceeded: The deadline passed before all rows had run.
            Draining: The graph has been closed.
            InferenceFailed: onnxruntime failed on these rows.
        """
        rows = len(inputs[0])
        if not self._admitting:
            raise _stopping()
        if self._waiting_rows + rows > self._max_queue_rows:
            raise QueueFull(
                f"{self._waiting_rows} rows wait already; {rows} more would exceed the limit of"
                f" {self._max_queue_rows}"
            )
        answer: asyncio.Future[Arrays] = asyncio.get_running_loop().create_future()
        self._queue(Job(inputs, context, exclusive, onward, answer))
        return answer

    def take_over(self, inputs: Arrays, job: Job) -> None:
        """Go on with the rows of a job of the graph before.

        Args:
            inputs: In the signature's order.
            job: Who waits for the answer.
        """
        self._queue(Job(inputs, job.context, job.exclusive, None, job.answer))

    def _queue(self, job: Job) -> None:
        self._jobs.append(job)
        self._wait(job.rows)
        self._wake()

    def _wait(self, rows: int) -> None:
        self._waiting_rows += rows
        self.meter.set_queue_rows(self._waiting_rows)
        self._idle.clear()

    def _take_over_together(self, batch: Batch, outputs: Arrays) -> None:
        """Go on with a whole batch of the graph before, as one.

        Its rows lie together already: to part them, queue each and join them again costs more
        than to run them.
        """
        now = time.perf_counter()
        for piece in batch.pieces:
            piece.job.onward = None
            piece.job.waiting_since = now
        self._handed_over.append(Batch(batch.pieces, batch.rows, outputs[:1]))
        self._wait(batch.rows)
        self._start_batches()

    async def drain(self) -> None:
        """Take no new rows, and return when those that were admitted have run."""
        self._admitting = False
        await self._idle.wait()

    async def close(self) -> None:
        """Take no more work, end what runs and fail what waits."""
        self._admitting = False
        self._closed = True
        self.session.stop()
        await self._idle.wait()

    def _wake(self) -> None:
        """Start batches in a next turn of the loop, when more requests may have come."""
        if not self._woken:
            self._woken = True
            self._seen = 1
            asyncio.get_running_loop().call_soon(self._start_when_quiet)

    def _start_when_quiet(self) -> None:
        """Look once more where several requests came at once: others are mostly on their way."""
        if self._seen < len(self._jobs) and self._waiting_rows < self._enough_rows:
            self._seen = len(self._jobs)
            asyncio.get_running_loop().call_soon(self._start_when_quiet)
        else:
            self._start_batches()

    def _start_batches(self) -> None:
        self._woken = False
        while self._running < self._max_running:
            batch = self._next_batch()
            if batch is None:
                break
            if batch.rows <= self._max_inline_rows:
                self._settle(batch, self._attempt(batch))
                if self._jobs or self._alone or self._handed_over:
                    self._wake()
                    return
                break
            self._run_on_thread(batch)
        if not (self._running or self._jobs or self._handed_over):
            self._idle.set()

    def _run_on_thread(self, batch: Batch) -> None:
        try:
            run = asyncio.get_running_loop().run_in_executor(self._executor, self._attempt, batch)
        except RuntimeError as error:  # the threads have been shut down
            fault = InferenceFailed(f"{type(error).__name__}: there are no threads to run on")
            self._settle(batch, Result(fault))
            return
        self._running += 1
        run.add_done_callback(partial(self._settle_thread, batch))

    def _next_batch(self) -> Batch | None:
        while self._alone:
            piece = self._alone.popleft()
            if not piece.job.answer.done():
                return Batch([piece], piece.rows)
        batch = self._next_handed_over() or self._gather()
        self.meter.set_queue_rows(self._waiting_rows)
        return batch

    def _next_handed_over(self) -> Batch | None:
        now = time.perf_counter()
        while self._handed_over:
            batch = self._handed_over.popleft()
            self._waiting_rows -= batch.rows
            wanted = False
            for piece in batch.pieces:
                job = piece.job
                job.context.queue_seconds += now - job.waiting_since
                wanted |= not (job.answer.done() or self._late(job))
            if wanted:
                return batch
        return None

    def _gather(self) -> Batch | None:
        """Join what waits; a request that does not fit goes whole into the next batch."""
        now = time.perf_counter()
        pieces: list[Piece] = []
        room = self._max_batch_rows
        rows = 0
        while self._jobs and rows < self._enough_rows:
            job = self._jobs[0]
            if job.answer.done() or self._late(job):
                self._jobs.popleft()
                self._waiting_rows -= job.rows - job.taken
                continue
            if pieces:
                if job.exclusive or pieces[0].job.exclusive or job.rows - job.taken > room:
                    break
            elif job.exclusive:
                room = self._max_exclusive_rows
            piece = job.take(room, now)
            pieces.append(piece)
            rows += piece.rows
            room -= piece.rows
            if job.taken == job.rows:
                self._jobs.popleft()
        self._waiting_rows -= rows
        return Batch(pieces, rows) if pieces else None

    def _late(self, job: Job) -> bool:
        """Fail a job whose deadline has passed."""
        late = time.monotonic() > job.context.deadline
        if late:
            job.fail(DeadlineExceeded("the time limit passed while rows waited for the model"))
        return late

    def _attempt(self, batch: Batch) -> Result:
        """Run a batch on the thread that calls; errors come back as values."""
        started = time.perf_counter()
        try:
            outputs = self.session.run(*batch.inputs)
            return Result(outputs, time.perf_counter() - started, all_finite(outputs))
        except LatentServeError as error:
            return Result(_stopping() if self._closed else error)
        except Exception as error:  # noqa: BLE001  # a fault of ours fails requests, hangs none
            return Result(InferenceFailed(f"{type(error).__name__} while running a batch"))

    def _settle_thread(self, batch: Batch, run: "asyncio.Future[Result]") -> None:
        self._running -= 1
        if run.cancelled():
            self._settle(batch, Result(_stopping()))
        else:
            self._settle(batch, run.result())
        self._start_batches()

    def _settle(self, batch: Batch, result: Result) -> None:
        outcome = result.outcome
        if isinstance(outcome, LatentServeError):
            if len(batch.pieces) == 1:
                batch.pieces[0].job.fail(outcome)
            else:
                batch.part()
                self._alone.extend(batch.pieces)
            return
        self.meter.record_run(batch.rows, result.seconds)
        for piece in batch.pieces:
            piece.job.context.inference_seconds += result.seconds
        following = batch.destination() if result.finite else None
        if following is None:
            _share_out(batch.pieces, outcome, finite=result.finite)
        else:
            _queued(following)._take_over_together(batch, outcome)  # noqa: SLF001  # of this class


def _stopping() -> Draining:
    return Draining("the service is stopping")


def _share_out(pieces: list[Piece], outputs: Arrays, *, finite: bool) -> None:
    """Give every piece its own rows of the outputs."""
    last = 0
    for piece in pieces:
        first, last = last, last + piece.rows
        try:
            own = tuple([array[first:last] for array in outputs]) if len(pieces) > 1 else outputs
            piece.job.context.finite &= finite or all_finite(own)
            if (complete := piece.job.add(piece, own)) is not None:
                _complete(piece.job, complete)
        except Exception as error:  # noqa: BLE001  # no memory to join parts, say
            piece.job.fail(InferenceFailed(f"{type(error).__name__} after a batch had run"))


def _complete(job: Job, outputs: Arrays) -> None:
    if job.answer.done():
        return
    if job.onward is None or not job.context.finite:
        job.answer.set_result(outputs)
    else:
        _queued(job.onward.graph).take_over((outputs[0], *job.onward.others), job)


def _queued(graph: Graph) -> QueuedGraph:
    assert isinstance(graph, QueuedGraph)  # noqa: S101  # a model's graphs are queued alike
    return graph
