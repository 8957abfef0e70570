"""What a run of a graph costs on this machine, by the number of its rows."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.arrays import FloatArray
from service.inference.session import Runnable

_REPETITIONS = 3
_ENOUGH_SECONDS = 0.01  # of runs with one batch
_MAX_RUN_SECONDS = 0.02
_MIN_RELATIVE_SPEED = 0.9


@dataclass(frozen=True)
class BatchCosts:
    """The minimum time of a run, by its rows: powers of two, ascending.

    Attributes:
        seconds_by_rows: Measured while the graph ran nothing else.
    """

    seconds_by_rows: Mapping[int, float]

    def rows_within(self, seconds: float) -> int:
        """Return the largest batch that costs at most ``seconds``; 0 when one row costs more."""
        fitting = [rows for rows, cost in self.seconds_by_rows.items() if cost <= seconds]
        return max(fitting, default=0)

    @property
    def smallest_efficient_batch(self) -> int:
        """The smallest batch with 90 % of the best rows a second: beyond it rows only wait."""
        return min(self._fast_batches())

    @property
    def largest_efficient_batch(self) -> int:
        """The largest batch with 90 % of the best rows a second: beyond it memory is too slow."""
        return max(self._fast_batches())

    @property
    def seconds_per_row(self) -> float:
        """What one more row costs in a batch up to an efficient size."""
        rows = self.smallest_efficient_batch
        alone = self.seconds_by_rows[1]
        return alone if rows == 1 else max(0.0, (self.seconds_by_rows[rows] - alone) / (rows - 1))

    @property
    def seconds_per_run(self) -> float:
        """What a run of one row costs beyond its row."""
        return max(0.0, self.seconds_by_rows[1] - self.seconds_per_row)

    def followed_by(self, following: "BatchCosts") -> "BatchCosts":
        """Return what a run costs that sends the same rows through another graph afterwards."""
        return BatchCosts(
            {
                rows: cost + following.seconds_by_rows[rows]
                for rows, cost in self.seconds_by_rows.items()
                if rows in following.seconds_by_rows
            }
        )

    def _fast_batches(self) -> list[int]:
        speeds = {rows: rows / cost for rows, cost in self.seconds_by_rows.items()}
        enough = _MIN_RELATIVE_SPEED * max(speeds.values())
        return [rows for rows, speed in speeds.items() if speed >= enough]


def measure_batch_costs(
    session: Runnable, inputs: Sequence[FloatArray], max_batch_rows: int
) -> BatchCosts:
    """Run a graph with growing batches, until the largest allowed or one that takes 20 ms.

    Doubles as warm-up: onnxruntime plans memory for every size it meets. What the largest
    batches took is given back.

    Args:
        session: The graph.
        inputs: A few rows for each input; repeated to make batches.
        max_batch_rows: Maximum number of rows of one run.
    """
    costs: dict[int, float] = {}
    rows = 1
    while rows <= max_batch_rows:
        batch = [np.resize(array, (rows, *array.shape[1:])) for array in inputs]
        costs[rows] = _measured(session, batch)
        if costs[rows] > _MAX_RUN_SECONDS:
            break
        rows *= 2
    session.run_and_release_memory(*(array[:1] for array in inputs))
    return BatchCosts(costs)


def _measured(session: Runnable, batch: Sequence[FloatArray]) -> float:
    """Return the shortest of some runs; of long ones few, since loading waits for them."""
    seconds = [_timed(session, batch)]
    while len(seconds) < _REPETITIONS and sum(seconds) < _ENOUGH_SECONDS:
        seconds.append(_timed(session, batch))
    if (
        min(seconds) > _MAX_RUN_SECONDS
    ):  # it ends the growth: once more, if something was in its way
        seconds.append(_timed(session, batch))
    return min(seconds)


def _timed(session: Runnable, batch: Sequence[FloatArray]) -> float:
    started = time.perf_counter()
    session.run(*batch)
    return time.perf_counter() - started
