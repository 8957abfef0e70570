"""Which of the rows that wait for a graph form its next batch.

Requests that fit into one batch go first, in the order in which they came. Larger ones give way to
them piece by piece: a small request waits for the pieces that run already, never for a large one to
end. So that large ones end too, every fourth batch is theirs while both wait. Among themselves
large requests go by when they came plus ``GIVE_WAY`` times what they cost: a larger one gives way
only to smaller ones that come within that time.
"""

import time
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from service.errors import DeadlineExceeded
from service.inference.batching.costs import RunCosts
from service.inference.batching.jobs import Batch, Job, Piece

GIVE_WAY = 2.0
"""Times what a large request costs that it lets smaller ones go first."""
MAX_SMALL_BATCHES = 3
"""Batches of small requests in a row while a large one waits."""


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
        max_inline_rows: Rows of a run on the event loop at most. Such a run cannot be ended; it is
            short because its cost was measured.
        max_running: Batches that run at the same time at most, each on a thread of its own.
        max_queue_seconds: Time that a small request is expected to wait at most; one that would
            wait longer is rejected. A large one may wait ``GIVE_WAY`` times what it costs longer.
        seconds_per_run: What a run costs, whatever its rows.
        seconds_per_row: What each row costs besides.
    """

    max_batch_rows: int
    max_queue_rows: int
    efficient_rows: int | None = None
    max_exclusive_rows: int | None = None
    max_inline_rows: int = 0
    max_running: int = 1
    max_queue_seconds: float = float("inf")
    seconds_per_run: float = 0.0
    seconds_per_row: float = 0.0


class Gathering:
    """The jobs that wait for a graph.

    Attributes:
        rows: Rows that wait for a batch, without those that wait to run again alone.
        costs: What runs take.
        seconds_per_row: What a row costs in a batch of an efficient size, as it was measured.
    """

    def __init__(self, limits: BatchLimits) -> None:
        """Begin empty."""
        self.rows = 0
        self.costs = RunCosts(limits.seconds_per_run, limits.seconds_per_row)
        self._small: deque[Job] = deque()
        self._large: deque[Job] = deque()
        self._small_seconds = self._large_seconds = 0.0
        self._small_batches = 0
        self._retry_alone: deque[Piece] = deque()
        self._max_batch_rows = limits.max_batch_rows
        self._efficient_rows = limits.efficient_rows or limits.max_batch_rows
        self._max_exclusive_rows = limits.max_exclusive_rows or limits.max_batch_rows
        self.seconds_per_row = self.costs.measured(self._efficient_rows) / self._efficient_rows

    def __len__(self) -> int:
        """Count the jobs that wait, and the pieces that wait to run again alone."""
        return len(self._small) + len(self._large) + len(self._retry_alone)

    @property
    def is_efficient(self) -> bool:
        """Whether a batch of what waits would gain nothing from more rows."""
        return self.rows >= self._efficient_rows

    def estimate(self, job: Job) -> None:
        """Say what an exclusive or large job costs and when it is due, before it is added."""
        max_rows = self._max_batch_rows
        if job.exclusive:
            max_rows = self._max_exclusive_rows
            runs = -(-job.rows // max_rows)
            job.seconds_per_row = (
                runs * self.costs.seconds_per_run / job.rows + self.costs.seconds_per_row
            )
        job.large = job.rows > max_rows
        job.due = job.waiting_since + GIVE_WAY * job.rows * job.seconds_per_row

    def seconds_before(self, job: Job) -> float:
        """Return the measured cost of what runs before a job that is about to be added."""
        if not job.large:
            large_share = self._large_seconds and self._small_seconds / MAX_SMALL_BATCHES
            return self._small_seconds + min(self._large_seconds, large_share)
        seconds = self._small_seconds + self._large_seconds
        for other in reversed(self._large):
            if other.due <= job.due:
                break
            seconds -= (other.rows - other.taken) * other.seconds_per_row
        return seconds

    def add(self, job: Job) -> None:
        """Let a job wait."""
        self.rows += job.rows
        seconds = job.rows * job.seconds_per_row
        if not job.large:
            self._small.append(job)
            self._small_seconds += seconds
            return
        self._large_seconds += seconds
        if not self._large or self._large[-1].due <= job.due:
            self._large.append(job)
        else:
            self._large.insert(bisect_right(self._large, job.due, key=_due), job)

    def forget(self, job: Job) -> None:
        """Let a job wait no more that needs no result; its rows count no longer at once."""
        if job.taken < job.rows:
            self._count_taken(job, job.rows - job.taken)
            if not job.taken:
                job.inputs = ()  # nothing else holds a large request's memory
            job.taken = job.rows

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
        now, clock = time.perf_counter(), time.monotonic()
        large = self._large
        while large and (large[0].result.done() or clock > large[0].context.deadline):
            self._drop(large.popleft())
        if large and (not self._small or self._small_batches >= MAX_SMALL_BATCHES):
            self._small_batches = 0
            job = large[0]
            piece = job.take(
                self._max_exclusive_rows if job.exclusive else self._max_batch_rows, now
            )
            self._count_taken(job, piece.rows)
            if job.taken == job.rows:
                large.popleft()
            return self._gather([piece], now, clock)
        batch = self._gather([], now, clock)
        if large:
            if not batch.pieces:  # nobody needs the small ones any more
                self._small_batches = MAX_SMALL_BATCHES
                return self.next_batch()
            self._small_batches += 1
        return batch if batch.pieces else None

    def _gather(self, pieces: list[Piece], now: float, clock: float) -> Batch:
        """Add small requests to a batch; what does not fit goes whole into another one."""
        waiting = self._small
        begun = rows = pieces[0].rows if pieces else 0
        exclusive = bool(pieces) and pieces[0].job.exclusive
        seconds = 0.0
        while waiting and rows < self._efficient_rows and not exclusive:
            job = waiting[0]
            if job.result.done() or clock > job.context.deadline:
                self._drop(job)
                waiting.popleft()
                continue
            if pieces and (job.exclusive or rows + job.rows > self._max_batch_rows):
                break
            waiting.popleft()
            exclusive = job.exclusive
            pieces.append(job.take(job.rows, now))
            rows += job.rows
            seconds += job.rows * job.seconds_per_row
        self.rows -= rows - begun
        self._small_seconds = self._small_seconds - seconds if waiting else 0.0
        return Batch(pieces, rows)

    def _count_taken(self, job: Job, rows: int) -> None:
        self.rows -= rows
        if job.large:
            self._large_seconds -= rows * job.seconds_per_row
        else:
            self._small_seconds -= rows * job.seconds_per_row
        if not self.rows:  # what rounding has left
            self._small_seconds = self._large_seconds = 0.0

    def _drop(self, job: Job) -> None:
        """Drop a job that needs no result any more, be it that its deadline has passed just now."""
        job.fail(DeadlineExceeded("the time limit passed while rows waited for the model"))
        self.forget(job)


def _due(job: Job) -> float:
    return job.due
