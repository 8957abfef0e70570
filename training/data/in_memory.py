"""A data source over arrays in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from training.arrays import FloatArray, IntegerArray
from training.data.source import DataDescription


@dataclass(frozen=True)
class LoadedData:
    """All rows of a source.

    Attributes:
        description: What they are.
        rows: Raw units, (rows, *row shape).
        labels: Class of each row, (rows,).
    """

    description: DataDescription
    rows: FloatArray
    labels: IntegerArray


class InMemorySource:
    """A source that loads all its rows when it is first read.

    Example:
        ``InMemorySource(lambda: LoadedData(description, rows, labels)).batches(1000)``
    """

    def __init__(self, load: Callable[[], LoadedData]) -> None:
        """Keep how to load the data; it is called once, or never if nothing is read.

        Args:
            load: Returns all rows.
        """
        self._load = load

    @cached_property
    def _loaded(self) -> LoadedData:
        return self._load()

    def describe(self) -> DataDescription:
        """Return the description; see ``DataSource``."""
        return self._loaded.description

    def labels(self) -> IntegerArray:
        """Return the class of every row; see ``DataSource``."""
        return self._loaded.labels

    def batches(self, max_rows: int) -> Iterator[FloatArray]:
        """Yield the rows in order; see ``DataSource``."""
        for first in range(0, len(self._loaded.rows), max_rows):
            yield self._loaded.rows[first : first + max_rows]
