"""The interface of data sources: built-in data sets, tables, folders of images, series.

A source is opened without reading, describes its data, and returns rows in batches, so that data
larger than memory can be read. All later steps use this interface only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from service.bundle.manifest import InputSpec
from training.arrays import FloatArray, IntegerArray
from training.recipe.part import RecipePart


@dataclass(frozen=True)
class DataDescription:
    """What the rows of a source are, and where they come from.

    Attributes:
        title: Name for people.
        origin: Where the data is published.
        licence: Terms of the data.
        attribution: Authors to be named.
        input: Kind, shape and units of a row; names and types of columns; windows of a series.
        classes: Names of the classes; one for data without classes.
        test_rows: Number of the last rows that are the data's own test set; 0 without one.
        sha256: Digest of the content, independent of compression and file format.
    """

    title: str
    origin: str
    licence: str
    attribution: str
    input: InputSpec
    classes: tuple[str, ...]
    test_rows: int
    sha256: str


class DataSource(Protocol):
    """Rows of data in a fixed order; windows, if the data is a long series.

    Reading may be repeated and returns the same each time. ``InMemorySource`` implements it for
    data that fits into memory, ``IdxImages`` reads in batches.
    """

    def describe(self) -> DataDescription:
        """Describe the data, reading as much of it as the description needs.

        Raises:
            DatasetError: The data is not available, or is corrupted.
        """
        ...

    def labels(self) -> IntegerArray:
        """Return the class of every row, an index into ``classes``, shape (rows,)."""
        ...

    def batches(self, max_rows: int) -> Iterator[FloatArray]:
        """Yield all rows in order.

        Args:
            max_rows: Maximum number of rows of a batch.

        Yields:
            Raw units, shape (rows, *row shape). A category is the position of its value in the
            column's vocabulary, a missing value is NaN.
        """
        ...


@dataclass(frozen=True)
class SourceKind:
    """An entry in the table of sources.

    Attributes:
        open: From the options and the recipe's seed to the source, without reading any data.
        options: The fields that a recipe may have under ``data.options``.
    """

    open: Callable[[Any, int], DataSource]
    options: type[RecipePart]


class NoOptions(RecipePart):
    """The options of a source that has none."""
