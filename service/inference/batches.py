"""What waits in front of a graph, and what of it runs together."""

import time
from asyncio import Future
from typing import NamedTuple

import numpy as np

from service.arrays import FloatArray
from service.errors import LatentServeError
from service.inference.graphs import Graph, Onward, RequestContext

Arrays = tuple[FloatArray, ...]


class Job:
    """Rows of one request: those before ``taken`` have been put in batches."""

    __slots__ = (
        "answer",
        "context",
        "exclusive",
        "finished_rows",
        "inputs",
        "onward",
        "parts",
        "rows",
        "taken",
        "waiting_since",
    )

    def __init__(
        self,
        inputs: Arrays,
        context: RequestContext,
        exclusive: bool,
        onward: Onward | None,
        answer: "Future[Arrays]",
    ) -> None:
        """Begin to wait.

        Args:
            inputs: Arrays in the signature's order, each (rows, *row shape).
            context: Whose work it is.
            exclusive: Whether it never shares a batch.
            onward: Where its outputs go next.
            answer: What its sender waits for.
        """
        self.inputs = inputs
        self.rows = len(inputs[0])
        self.context = context
        self.exclusive = exclusive
        self.onward = onward
        self.answer = answer
        self.waiting_since = time.perf_counter()
        self.taken = 0
        self.finished_rows = 0
        self.parts: dict[int, Arrays] | None = None

    def take(self, rows: int, now: float) -> "Piece":
        """Cut off the next rows, as many as there are up to ``rows``."""
        if self.taken == 0:
            self.context.queue_seconds += now - self.waiting_since
        piece = Piece(self, self.taken, min(self.rows, self.taken + rows))
        self.taken = piece.last
        return piece

    def add(self, piece: "Piece", outputs: Arrays) -> Arrays | None:
        """Keep the outputs of a piece; return those of all rows once the last piece has come."""
        if piece.is_whole:
            return outputs
        self.parts = self.parts or {}
        self.parts[piece.first] = outputs
        self.finished_rows += piece.rows
        if self.finished_rows < self.rows:
            return None
        parts = [self.parts[first] for first in sorted(self.parts)]
        return tuple([np.concatenate(part) for part in zip(*parts, strict=True)])

    def fail(self, error: LatentServeError) -> None:
        """Answer with an error, unless nobody waits any more."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Piece:
    """The rows of a job that go into one batch."""

    __slots__ = ("first", "job", "last", "rows")

    def __init__(self, job: Job, first: int, last: int) -> None:
        """Cut rows ``first`` to ``last``, the latter not included, out of a job."""
        self.job = job
        self.first = first
        self.last = last
        self.rows = last - first

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its job."""
        return self.rows == self.job.rows

    @property
    def inputs(self) -> Arrays:
        """Its rows of the job's inputs."""
        if self.is_whole:
            return self.job.inputs
        return tuple(array[self.first : self.last] for array in self.job.inputs)


class Batch:
    """Pieces that run together.

    Attributes:
        pieces: In the order of their rows.
        rows: Of all pieces.
        joined: Their inputs, when the graph before gave them in one array each.
    """

    __slots__ = ("joined", "pieces", "rows")

    def __init__(self, pieces: list[Piece], rows: int, joined: Arrays | None = None) -> None:
        """Put pieces of so many rows together; see the attributes."""
        self.pieces = pieces
        self.rows = rows
        self.joined = joined

    @property
    def inputs(self) -> Arrays:
        """The rows of all pieces, in one array for each input."""
        if self.joined is not None:
            return self.joined
        if len(self.pieces) == 1:
            return self.pieces[0].inputs
        columns = zip(*[piece.inputs for piece in self.pieces], strict=True)
        return tuple([np.concatenate(column) for column in columns])

    def destination(self) -> Graph | None:
        """Return the graph that all of it goes on to as it is, if there is one."""
        onward = self.pieces[0].job.onward
        if onward is None or onward.others:
            return None
        for piece in self.pieces:
            other = piece.job.onward
            if other is None or other.graph is not onward.graph or not piece.is_whole:
                return None
        return onward.graph

    def part(self) -> None:
        """Give every piece its own inputs back."""
        if self.joined is None:
            return
        last = 0
        for piece in self.pieces:
            first, last = last, last + piece.rows
            piece.job.inputs = tuple([array[first:last] for array in self.joined])


class Result(NamedTuple):
    """What became of a batch: its outputs and whether they are finite, or why there are none."""

    outcome: Arrays | LatentServeError
    seconds: float = 0.0
    finite: bool = True
