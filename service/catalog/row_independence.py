"""Proves on golden rows that a graph answers every row as if it were alone.

Rows of different clients share a batch: an answer must not depend on which rows are beside it, how
many they are, and where in the batch the row is.
"""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from service.arrays import FloatArray
from service.errors import InferenceFailed, RowsNotIndependent
from service.inference.session import Session

_EXTREME = np.float32(1e30)


def check_row_independence(
    session: Session,
    inputs: Sequence[FloatArray],
    tolerance: float,
    max_rows: int,
    max_run_seconds: float = float("inf"),
) -> None:
    """Compare what a graph answers to rows alone with what it answers to them in other batches.

    The batches: the rows together; in reverse order; between zeros, very large, very small and
    missing values; repeated up to ``max_rows``. A batch on which the graph fails proves nothing and
    is passed over: such a batch is run again row by row when it is served.

    Args:
        session: The graph.
        inputs: The golden rows, an array per input.
        tolerance: Allowed deviation, relative to ``max(1, max |answer|)``.
        max_rows: Size of the largest batch.
        max_run_seconds: Time of the largest batch, about; it has fewer rows where they take longer.

    Raises:
        RowsNotIndependent: An answer differs by more.
        InferenceFailed: The graph fails on a golden row, or does not give one row per row.
    """
    count = len(inputs[0])
    started = time.perf_counter()
    alone = [session.run(*(array[row : row + 1] for array in inputs)) for row in range(count)]
    expected = tuple(np.concatenate(column) for column in zip(*alone, strict=True))
    scales = [max(1.0, float(np.abs(column).max())) for column in expected]
    seconds_per_row = (time.perf_counter() - started) / count
    max_rows = int(min(max_rows, max_run_seconds / seconds_per_row))
    for what, rows, filler in _batches(count, max_rows):
        batch = [_filled(array, rows, filler) for array in inputs]
        try:
            outputs = session.run(*batch)
        except InferenceFailed:
            if filler is None:
                raise
            continue
        places = rows >= 0
        for tensor, found, answers, scale in zip(
            session.signature.outputs, outputs, expected, scales, strict=True
        ):
            with np.errstate(invalid="ignore"):
                deviation = float(np.abs(found[places] - answers[rows[places]]).max()) / scale
            if not deviation <= tolerance:
                raise RowsNotIndependent(
                    f"{session.signature.file}: {tensor.name} of a row deviates by {deviation:.2g}"
                    f" {what} from its answer alone, allowed is {tolerance:.2g}"
                )


def _batches(
    count: int, max_rows: int
) -> Iterator[tuple[str, "np.ndarray[tuple[int], np.dtype[np.intp]]", np.float32 | None]]:
    """Yield what a batch is, the numbers of its golden rows (-1: a filler), and the filler."""
    rows = np.arange(count)
    yield "among the other golden rows", rows, None
    yield "in another order", rows[::-1], None
    between = np.full(2 * count + 1, -1)
    between[1::2] = rows
    for value in (0.0, _EXTREME, -_EXTREME, np.nan):
        yield "beside rows of other values", between, np.float32(value)
    yield f"in a batch of {max(count, max_rows)}", np.resize(rows, max(count, max_rows)), None


def _filled(array: FloatArray, rows: np.ndarray, filler: np.float32 | None) -> FloatArray:
    batch: FloatArray = array[rows]
    if filler is not None:
        batch[rows < 0] = filler
    return batch
