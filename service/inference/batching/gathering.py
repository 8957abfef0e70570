"""Which of the rows that wait for a graph form its next batch."""

import time
from collections import deque
from dataclasses import dataclass

from service.errors import DeadlineExceeded
from service.inference.batching.jobs import Batch, Job, Piece


@dataclass(frozen=True)
class BatchLimits:
    """How rows are put together and run.

    Attributes:
        max_batch_rows: Rows of one run at most; larger requests run in several.
        max_queue_rows: Rows that may wait at most; further requests are rejected.
        efficient_rows: Rows with which a batch does not wait for more; ``max_batch_rows`` when
            None.
        max_exclusive_rows: Rows of one run of an exclusive request at most; ``max_batch_rows``
            when None. Fixed where ``max_batch_rows`` was measured, so that such a request is cut
            the same way everywhere.
        max_inline_rows: Rows of a run on the event loop at most.
        max_running: Batches that run at the same time at most, each on a thread of its own.
    """

    max_batch_rows: int
    max_queue_rows: int
    efficient_rows: int | None = None
    max_exclusive_rows: int | None = None
    max_inline_rows: int = 0
    max_running: int = 1


class Gathering:
    """The jobs that wait for a graph, in the order in which they came.

    Attributes:
        rows: Rows that wait for a batch, without those that wait to run again alone.
    """

    def __init__(self, limits: BatchLimits) -> None:
        """Begin empty."""
        self.rows = 0
        self._jobs: deque[Job] = deque()
        self._retry_alone: deque[Piece] = deque()
        self._max_batch_rows = limits.max_batch_rows
        self._efficient_rows = limits.efficient_rows or limits.max_batch_rows
        self._max_exclusive_rows = limits.max_exclusive_rows or limits.max_batch_rows

    def __len__(self) -> int:
        """Count the jobs that wait, and the pieces that wait to run again alone."""
        return len(self._jobs) + len(self._retry_alone)

    @property
    def is_efficient(self) -> bool:
        """Whether a batch of what waits would gain nothing from more rows."""
        return self.rows >= self._efficient_rows

    def add(self, job: Job) -> None:
        """Let a job wait."""
        self._jobs.append(job)
        self.rows += job.rows

    def retry_alone(self, pieces: list[Piece]) -> None:
        """Let the pieces of a failed batch run again, each in a batch of its own."""
        self._retry_alone.extend(pieces)

    def next_batch(self) -> Batch | None:
        """Take the next batch, if anything waits that is still wanted.

        Jobs that were cancelled are dropped; those whose deadline has passed fail.
        """
        while self._retry_alone:
            piece = self._retry_alone.popleft()
            if not piece.job.result.done():
                return Batch([piece], piece.rows)
        return self._gather()

    def _gather(self) -> Batch | None:
        """Join what waits; a request that does not fit goes whole into the next batch."""
        now = time.perf_counter()
        pieces: list[Piece] = []
        room = self._max_batch_rows
        rows = 0
        while self._jobs and rows < self._efficient_rows:
            job = self._jobs[0]
            if job.result.done() or _fail_if_late(job):
                self._jobs.popleft()
                self.rows -= job.rows - job.taken
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
        self.rows -= rows
        return Batch(pieces, rows) if pieces else None


def _fail_if_late(job: Job) -> bool:
    late = time.monotonic() > job.context.deadline
    if late:
        job.fail(DeadlineExceeded("the time limit passed while rows waited for the model"))
    return late
