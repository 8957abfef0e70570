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
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from service.errors import (
    DeadlineExceeded,
    Draining,
    InferenceFailed,
    LatentServeError,
    QueueFull,
)
from service.inference.graphs import Onward, Ticket, all_finite
from service.inference.session import FloatArray, Runnable

Arrays = tuple[FloatArray, ...]


class Meter(Protocol):
    """Is told what a queue does, on the event loop."""

    def waiting(self, rows: int) -> None:
        """Take note of the rows that wait now."""
        ...

    def ran(self, rows: int, seconds: float) -> None:
        """Take note of a run."""
        ...


class _Unmetered:
    def waiting(self, rows: int) -> None:
        pass

    def ran(self, rows: int, seconds: float) -> None:
        pass


@dataclass(slots=True, eq=False)
class _Job:
    """Rows of one request: those before ``taken`` have been put in batches."""

    inputs: Arrays
    ticket: Ticket
    exclusive: bool
    onward: Onward | None
    answer: "asyncio.Future[Arrays]"
    waiting_since: float
    rows: int = field(init=False)
    taken: int = 0
    finished_rows: int = 0
    parts: dict[int, Arrays] = field(default_factory=dict[int, Arrays])

    def __post_init__(self) -> None:
        self.rows = len(self.inputs[0])

    def take(self, rows: int, now: float) -> "_Piece":
        """Cut off the next rows, as many as there are up to ``rows``."""
        if self.taken == 0:
            self.ticket.queue_seconds += now - self.waiting_since
        piece = _Piece(self, self.taken, min(self.rows, self.taken + rows))
        self.taken = piece.last
        return piece

    def add(self, piece: "_Piece", outputs: Arrays) -> None:
        """Keep the outputs of a piece; the last one to come completes the job."""
        if piece.rows == self.rows:
            self._complete(outputs)
            return
        self.parts[piece.first] = outputs
        self.finished_rows += piece.rows
        if self.finished_rows == self.rows:
            parts = [self.parts[first] for first in sorted(self.parts)]
            self._complete(tuple(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _complete(self, outputs: Arrays) -> None:
        if self.answer.done():
            return
        if self.onward is None or not self.ticket.finite:
            self.answer.set_result(outputs)
            return
        graph = self.onward.graph
        assert isinstance(graph, QueuedGraph)  # noqa: S101  # a model's graphs are queued alike
        graph.take_over((outputs[0], *self.onward.others), self)

    def fail(self, error: LatentServeError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(slots=True, eq=False)
class _Piece:
    """The rows of a job that go into one batch."""

    job: _Job
    first: int
    last: int
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        self.rows = self.last - self.first

    @property
    def inputs(self) -> Arrays:
        if self.rows == self.job.rows:
            return self.job.inputs
        return tuple(array[self.first : self.last] for array in self.job.inputs)


_Batch = list[_Piece]


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of a batch: its outputs and whether they are finite, or why there are none."""

    outcome: Arrays | LatentServeError
    seconds: float = 0.0
    finite: bool = True


class QueuedGraph:
    """A graph behind a queue.

    A client that has gone (its coroutine cancelled) or whose deadline has passed is dropped
    before its rows run. When a batch fails, its requests run again one by one, so that only
    the one at fault fails.

    Attributes:
        session: The graph.
        meter: Is told of waiting rows and of runs.
    """

    def __init__(
        self,
        session: Runnable,
        executor: Executor,
        *,
        max_batch_rows: int,
        max_queue_rows: int,
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
        self._max_exclusive_rows = max_exclusive_rows or max_batch_rows
        self._max_inline_rows = max_inline_rows
        self._max_running = max_running
        self._jobs: deque[_Job] = deque()
        self._alone: deque[_Piece] = deque()
        self._waiting_rows = 0
        self._running = 0
        self._woken = False
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for a batch."""
        return self._waiting_rows

    async def run(
        self,
        *inputs: FloatArray,
        ticket: Ticket,
        exclusive: bool = False,
        onward: Onward | None = None,
    ) -> Arrays:
        """Send rows through the graph; see ``Graph.run``.

        Rows that were let in here are let in at the graph they go on to.

        Raises:
            QueueFull: Too many rows wait already.
            DeadlineExceeded: The deadline passed before all rows had run.
            Draining: The graph has been closed.
            InferenceFailed: onnxruntime failed on these rows.
        """
        rows = len(inputs[0])
        if self._closed:
            raise Draining("the service is stopping")
        if self._waiting_rows + rows > self._max_queue_rows:
            raise QueueFull(
                f"{self._waiting_rows} rows wait already; {rows} more would exceed the limit of"
                f" {self._max_queue_rows}"
            )
        answer: asyncio.Future[Arrays] = asyncio.get_running_loop().create_future()
        self._queue(_Job(inputs, ticket, exclusive, onward, answer, time.perf_counter()))
        return await answer

    def take_over(self, inputs: Arrays, job: _Job) -> None:
        """Go on with the rows of a job of the graph before.

        Args:
            inputs: In the signature's order.
            job: Who waits for the answer.
        """
        self._queue(_Job(inputs, job.ticket, job.exclusive, None, job.answer, time.perf_counter()))

    def _queue(self, job: _Job) -> None:
        self._jobs.append(job)
        self._waiting_rows += job.rows
        self.meter.waiting(self._waiting_rows)
        self._idle.clear()
        self._wake()

    async def close(self) -> None:
        """Take no more work, and finish what waits."""
        self._closed = True
        await self._idle.wait()

    def _wake(self) -> None:
        """Start batches in the next turn of the loop, when more requests may have come."""
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._start_batches)

    def _start_batches(self) -> None:
        self._woken = False
        while self._running < self._max_running:
            batch = self._next_batch()
            if not batch:
                break
            if sum(piece.rows for piece in batch) <= self._max_inline_rows:
                self._settle(batch, self._attempt(batch))
                self._wake()
                return
            self._run_on_thread(batch)
        if not self._running and not self._jobs:
            self._idle.set()

    def _run_on_thread(self, batch: _Batch) -> None:
        try:
            run = asyncio.get_running_loop().run_in_executor(self._executor, self._attempt, batch)
        except RuntimeError as error:  # the threads have been shut down
            fault = InferenceFailed(f"{type(error).__name__}: there are no threads to run on")
            self._settle(batch, _Result(fault))
            return
        self._running += 1
        run.add_done_callback(partial(self._settle_thread, batch))

    def _next_batch(self) -> _Batch:
        now = time.perf_counter()
        while self._alone:
            piece = self._alone.popleft()
            if not piece.job.answer.done():
                return [piece]
        batch: _Batch = []
        room = self._max_batch_rows
        while self._jobs and room:
            job = self._jobs[0]
            if self._dropped(job):
                continue
            if batch and (job.exclusive or batch[0].job.exclusive):
                break
            room = self._max_exclusive_rows if job.exclusive else room
            piece = job.take(room, now)
            batch.append(piece)
            room -= piece.rows
            self._waiting_rows -= piece.rows
            if job.taken == job.rows:
                self._jobs.popleft()
        self.meter.waiting(self._waiting_rows)
        return batch

    def _dropped(self, job: _Job) -> bool:
        if time.monotonic() > job.ticket.deadline:
            job.fail(DeadlineExceeded("the time limit passed while rows waited for the model"))
        if not job.answer.done():
            return False
        self._jobs.popleft()
        self._waiting_rows -= job.rows - job.taken
        return True

    def _attempt(self, batch: _Batch) -> _Result:
        """Run a batch on the thread that calls; errors come back as values."""
        started = time.perf_counter()
        try:
            if len(batch) == 1:
                inputs = batch[0].inputs
            else:
                columns = zip(*(piece.inputs for piece in batch), strict=True)
                inputs = tuple(np.concatenate(column) for column in columns)
            outputs = self.session.run(*inputs)
            return _Result(outputs, time.perf_counter() - started, all_finite(outputs))
        except LatentServeError as error:
            return _Result(error)
        except Exception as error:  # noqa: BLE001  # a fault of ours fails requests, hangs none
            return _Result(InferenceFailed(f"{type(error).__name__} while running a batch"))

    def _settle_thread(self, batch: _Batch, run: "asyncio.Future[_Result]") -> None:
        self._running -= 1
        if run.cancelled():
            self._settle(batch, _Result(Draining("the service is stopping")))
        else:
            self._settle(batch, run.result())
        self._start_batches()

    def _settle(self, batch: _Batch, result: _Result) -> None:
        outcome = result.outcome
        if isinstance(outcome, LatentServeError):
            if len(batch) == 1:
                batch[0].job.fail(outcome)
            else:
                self._alone.extend(batch)
            return
        self.meter.ran(sum(piece.rows for piece in batch), result.seconds)
        first = 0
        for piece in batch:
            last = first + piece.rows
            try:
                own = tuple(array[first:last] for array in outcome) if len(batch) > 1 else outcome
                ticket = piece.job.ticket
                ticket.inference_seconds += result.seconds
                ticket.finite &= result.finite or all_finite(own)
                piece.job.add(piece, own)
            except Exception as error:  # noqa: BLE001  # as in _attempt: no memory to join parts, say
                piece.job.fail(InferenceFailed(f"{type(error).__name__} after a batch had run"))
            first = last
