"""A batch run through a graph, and its outputs given to the requests they belong to."""

import time
from dataclasses import dataclass

from service.errors import InferenceFailed, LatentServeError
from service.inference.batching.jobs import Arrays, Batch
from service.inference.graphs import all_finite
from service.inference.session import Runnable, RunStop


@dataclass(slots=True)
class Run:
    """The outcome of a batch.

    Attributes:
        outputs: In the signature's order, each (rows, *row shape); or why there are none.
        seconds: How long the graph ran.
        finite: Whether all outputs are finite.
    """

    outputs: Arrays | LatentServeError
    seconds: float = 0.0
    finite: bool = True


class RunningBatch:
    """A batch on its way through a graph on a thread.

    Attributes:
        batch: What runs.
        stop: Ends the run.
        started: ``time.perf_counter()`` when it was handed to the threads.
        stopped: The same when it was told to end, or None.
    """

    __slots__ = ("batch", "started", "stop", "stopped")

    def __init__(self, batch: Batch) -> None:
        """Begin now."""
        self.batch = batch
        self.stop = RunStop()
        self.started = time.perf_counter()
        self.stopped: float | None = None

    def end(self) -> None:
        """End it before its next node."""
        self.stop.stop()
        self.stopped = time.perf_counter()

    def seconds_left(self, now: float, expected: float) -> float:
        """Guess how long it still runs.

        One that takes longer than expected is expected to take as long again as it is late: it may
        be a graph, or a node, that does not end.

        Args:
            now: ``time.perf_counter()``.
            expected: What it should take in all.
        """
        ends = self.started + expected if self.stopped is None else self.stopped
        return abs(ends - now)


def run_batch(runnable: Runnable, batch: Batch, stop: RunStop | None = None) -> Run:
    """Run a batch on the calling thread; errors come back as values.

    Args:
        runnable: The graph.
        batch: What to run.
        stop: Ends the run from another thread.
    """
    started = time.perf_counter()
    try:
        outputs = runnable.run(*batch.inputs, stop=stop)
        return Run(outputs, time.perf_counter() - started, all_finite(outputs))
    except LatentServeError as error:
        return Run(error)
    except Exception as error:  # noqa: BLE001  # an error of ours fails requests, it hangs none
        return Run(InferenceFailed(f"{type(error).__name__} while running a batch"))


def distribute_outputs(batch: Batch, outputs: Arrays, run: Run) -> None:
    """Give every piece of a batch its own rows of the outputs, and its job the time of the run."""
    shared = len(batch.pieces) > 1
    last = 0
    for piece in batch.pieces:
        first, last = last, last + piece.rows
        context = piece.job.context
        context.inference_seconds += run.seconds
        try:
            own = tuple([array[first:last] for array in outputs]) if shared else outputs
            if not run.finite and not all_finite(own):
                context.finite = False
            piece.job.finish(piece, own)
        except Exception as error:  # noqa: BLE001  # no memory to join pieces, say
            piece.job.fail(InferenceFailed(f"{type(error).__name__} after a batch had run"))
