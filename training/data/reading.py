"""Reading of a source in batches into arrays of selected rows."""

from collections.abc import Sequence

import numpy as np

from training.arrays import FloatArray, IntegerArray
from training.data.source import DataSource
from training.errors import DatasetCorrupted

BATCH_ROWS = 4096


def gather_rows(source: DataSource, selections: Sequence[IntegerArray]) -> list[FloatArray]:
    """Read a source once, and copy selected rows; the others are not kept in memory.

    Args:
        source: Where to read from.
        selections: Indices of rows, ascending, each (selected,).

    Returns:
        The rows of each selection, (selected, *row shape).

    Raises:
        DatasetCorrupted: The source yields other rows than it describes.
    """
    shape, expected = source.describe().input.shape, len(source.labels())
    gathered = [np.empty((len(selection), *shape), np.float32) for selection in selections]
    first = 0
    for batch in source.batches(BATCH_ROWS):
        if batch.shape[1:] != shape:
            raise DatasetCorrupted(f"rows have shape {batch.shape[1:]}, described is {shape}")
        for rows, selection in zip(gathered, selections, strict=True):
            low, high = np.searchsorted(selection, (first, first + len(batch)))
            rows[low:high] = batch[selection[low:high] - first]
        first += len(batch)
    if first != expected:
        raise DatasetCorrupted(f"{first} rows were read, and {expected} have labels")
    return gathered


def read_rows(source: DataSource) -> FloatArray:
    """Return all rows of a source that fits into memory, (rows, *row shape)."""
    (rows,) = gather_rows(source, [np.arange(len(source.labels()))])
    return rows
