"""A greedy micro-batcher with a bounded queue in front of one graph.

An idle graph starts at once; whatever arrives while it is busy forms the next batch. There is
no timer, so an idle service adds no latency and a busy one fills its batches by itself.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from service.errors import (
    DeadlineExceeded,
    Draining,
    InferenceFailed,
    LatentServeError,
    QueueFull,
)
from service.inference.graphs import Ticket
from service.inference.session import FloatArray, Session

Arrays = tuple[FloatArray, ...]


@dataclass(slots=True, eq=False)
class _Job:
    """Rows of one request: those before ``taken`` have been put in batches."""

    inputs: Arrays
    ticket: Ticket
    exclusive: bool
    answer: "asyncio.Future[Arrays]"
    waiting_since: float
    taken: int = 0
    parts: list[Arrays] = field(default_factory=list[Arrays])

    @property
    def rows(self) -> int:
        return len(self.inputs[0])

    def finish(self) -> None:
        if self.answer.done():
            return
        parts = self.parts
        whole = len(parts) == 1
        self.answer.set_result(
            parts[0] if whole else tuple(np.concatenate(part) for part in zip(*parts, strict=True))
        )

    def fail(self, error: LatentServeError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True)
class _Slice:
    """The rows of a job that go into one batch."""

    job: _Job
    first: int
    last: int

    @property
    def inputs(self) -> Arrays:
        return tuple(array[self.first : self.last] for array in self.job.inputs)


class QueuedGraph:
    """A graph behind a queue; one batch runs at a time, on a worker thread.

    A client that has gone (its coroutine cancelled) or whose deadline has passed is dropped
    before its rows run. When a batch fails, its requests run again one by one, so that only
    the one at fault fails.
    """

    def __init__(
        self, session: Session, executor: Executor, *, max_batch_rows: int, max_queue_rows: int
    ) -> None:
        """Put a queue in front of a session.

        Args:
            session: The graph.
            executor: Threads that batches run on.
            max_batch_rows: Most rows of one run; larger requests run in several.
            max_queue_rows: Most rows that may wait; further requests are refused.
        """
        self.session = session
        self._executor = executor
        self._max_batch_rows = max_batch_rows
        self._max_queue_rows = max_queue_rows
        self._jobs: deque[_Job] = deque()
        self._waiting_rows = 0
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for a batch."""
        return self._waiting_rows

    async def run(self, *inputs: FloatArray, ticket: Ticket, exclusive: bool = False) -> Arrays:
        """Send rows through the graph; see ``Graph.run``.

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
        job = _Job(
            inputs,
            ticket,
            exclusive,
            asyncio.get_running_loop().create_future(),
            time.perf_counter(),
        )
        self._jobs.append(job)
        self._waiting_rows += rows
        if self._worker is None:
            self._worker = asyncio.create_task(self._run_batches())
        return await job.answer

    async def close(self) -> None:
        """Take no more work, and finish what waits."""
        self._closed = True
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def _run_batches(self) -> None:
        try:
            while batch := self._next_batch():
                try:
                    await self._run_batch(batch)
                except Exception as error:  # noqa: BLE001  # a fault of ours fails its requests; it never hangs them
                    fault = InferenceFailed(f"{type(error).__name__} after a batch had run")
                    fault.__cause__ = error
                    for piece in batch:
                        piece.job.fail(fault)
        finally:
            self._worker = None

    def _next_batch(self) -> list[_Slice]:
        batch: list[_Slice] = []
        room = self._max_batch_rows
        now = time.perf_counter()
        while self._jobs and room:
            job = self._jobs[0]
            if self._dropped(job):
                continue
            if batch and (job.exclusive or batch[0].job.exclusive):
                break
            piece = _Slice(job, job.taken, min(job.rows, job.taken + room))
            taken = piece.last - piece.first
            batch.append(piece)
            job.taken = piece.last
            job.ticket.queue_seconds += now - job.waiting_since
            room -= taken
            self._waiting_rows -= taken
            if job.taken == job.rows:
                self._jobs.popleft()
        return batch

    def _dropped(self, job: _Job) -> bool:
        expired = time.monotonic() > job.ticket.deadline
        if expired:
            job.fail(DeadlineExceeded("the time limit passed while rows waited for the model"))
        if not job.answer.done():
            return False
        self._jobs.popleft()
        self._waiting_rows -= job.rows - job.taken
        return True

    async def _run_batch(self, batch: list[_Slice]) -> None:
        started = time.perf_counter()
        try:
            outputs = await self._run_on_thread([piece.inputs for piece in batch])
        except LatentServeError as error:
            if len(batch) == 1:
                batch[0].job.fail(error)
                return
            for piece in batch:
                if not piece.job.answer.done():
                    await self._run_batch([piece])
            return
        finished = time.perf_counter()
        first = 0
        for piece in batch:
            last = first + piece.last - piece.first
            job = piece.job
            job.parts.append(tuple(output[first:last] for output in outputs))
            job.ticket.inference_seconds += finished - started
            job.waiting_since = finished
            if piece.last == job.rows:
                job.finish()
            first = last

    async def _run_on_thread(self, pieces: Sequence[Arrays]) -> Arrays:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self._run_pieces, pieces)
        except LatentServeError:
            raise
        except Exception as error:
            raise InferenceFailed(f"{type(error).__name__} while running a batch") from error

    def _run_pieces(self, pieces: Sequence[Arrays]) -> Arrays:
        if len(pieces) == 1:
            return self.session.run(*pieces[0])
        return self.session.run(*(np.concatenate(part) for part in zip(*pieces, strict=True)))
