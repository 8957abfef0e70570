"""What waits in front of a graph, and what of it runs together."""

import time
from asyncio import Future

import numpy as np

from service.arrays import FloatArray
from service.errors import LatentServeError
from service.request_context import RequestContext

Arrays = tuple[FloatArray, ...]


class Job:
    """Rows of one request: those before ``taken`` have been put in batches.

    Attributes:
        large: Whether it does not fit into one batch; its queue says so, and when it is due.
        seconds_per_row: What a row of it costs, as it was measured.
        due: ``time.perf_counter()`` by which large jobs are put in order.
        is_watched: Whether its queue gets to know when its sender needs no result any more.
    """

    __slots__ = (
        "context",
        "due",
        "exclusive",
        "finished_rows",
        "inputs",
        "is_watched",
        "joined",
        "large",
        "result",
        "rows",
        "seconds_per_row",
        "taken",
        "waiting_since",
    )

    due: float

    def __init__(
        self,
        inputs: Arrays,
        context: RequestContext,
        exclusive: bool,
        seconds_per_row: float,
        result: "Future[Arrays]",
    ) -> None:
        """Begin to wait.

        Args:
            inputs: Arrays in the signature's order, each (rows, *row shape).
            context: Of the request.
            exclusive: Whether it never shares a batch.
            seconds_per_row: What a row costs in a batch.
            result: What its sender awaits.
        """
        self.inputs = inputs
        self.rows = len(inputs[0])
        self.context = context
        self.exclusive = exclusive
        self.result = result
        self.is_watched = False
        self.waiting_since = time.perf_counter()
        self.large = False
        self.seconds_per_row = seconds_per_row
        self.taken = 0
        self.finished_rows = 0
        self.joined: Arrays | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has a result, or its sender needs none any more."""
        return self.result.done()

    def take(self, max_rows: int, now: float) -> "Piece":
        """Cut off the next rows, up to ``max_rows`` of them.

        Args:
            max_rows: How many fit.
            now: ``time.perf_counter()``.
        """
        if self.taken == 0:
            self.context.queue_seconds += now - self.waiting_since
        piece = Piece(self, self.taken, min(self.rows, self.taken + max_rows))
        self.taken = piece.last
        return piece

    def finish(self, piece: "Piece", outputs: Arrays) -> None:
        """Keep the outputs of a piece; with those of the last piece, set the result."""
        if piece.is_whole:
            complete = outputs
        else:
            if self.joined is None:
                self.joined = tuple(
                    [np.empty((self.rows, *array.shape[1:]), array.dtype) for array in outputs]
                )
            # Piece by piece: to join all of them at the end would hold the event loop.
            for joined, array in zip(self.joined, outputs, strict=True):
                joined[piece.first : piece.last] = array
            self.finished_rows += piece.rows
            if self.finished_rows < self.rows:
                return
            complete = self.joined
        if not self.result.done():
            self.result.set_result(complete)

    def fail(self, error: LatentServeError) -> None:
        """Set an error, unless there is a result or its sender has cancelled."""
        if not self.result.done():
            self.result.set_exception(error)


class Piece:
    """The rows of a job that go into one batch."""

    __slots__ = ("first", "job", "last", "rows")

    def __init__(self, job: Job, first: int, last: int) -> None:
        """Cut rows ``first`` to ``last``, the latter excluded, out of a job."""
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
        return tuple([array[self.first : self.last] for array in self.job.inputs])


class Batch:
    """Pieces that run together.

    Attributes:
        pieces: In the order of their rows.
        rows: Of all pieces.
    """

    __slots__ = ("pieces", "rows")

    def __init__(self, pieces: list[Piece], rows: int) -> None:
        """Put pieces of so many rows together."""
        self.pieces = pieces
        self.rows = rows

    @property
    def is_unwanted(self) -> bool:
        """Whether none of its jobs needs a result any more."""
        return all(piece.job.is_over for piece in self.pieces)

    @property
    def inputs(self) -> Arrays:
        """The rows of all pieces, in one array for each input."""
        if len(self.pieces) == 1:
            return self.pieces[0].inputs
        columns = zip(*[piece.inputs for piece in self.pieces], strict=True)
        return tuple([np.concatenate(column) for column in columns])
