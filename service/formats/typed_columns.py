"""Tables of numbers, booleans and categories, column by column.

The fast path for rows without errors; ``row_lists`` finds what is wrong with others.
"""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.bundle.manifest import ColumnSpec

_TYPES: dict[str, tuple[type[Any], ...]] = {
    "numeric": (int, float),
    "boolean": (bool,),
    "categorical": (str, int, float),
}


class TypedColumns:
    """The types of a table's columns, prepared for many rows at once.

    Example:
        >>> columns = (
        ...     ColumnSpec(name="age", nullable=True),
        ...     ColumnSpec(name="city", type="categorical", vocabulary=("Bern", "Oslo")),
        ... )
        >>> TypedColumns(columns).numbers([[41, "Oslo"], [None, "Bern"]])
        array([[41.,  1.],
               [nan,  0.]])
    """

    def __init__(self, columns: tuple[ColumnSpec, ...]) -> None:
        """Prepare columns.

        Args:
            columns: Names and types of the values of a row.
        """
        self._types = [_types_of(column) for column in columns]
        self._codes = [_codes_of(column) for column in columns]
        code_counts = {"numeric": np.inf, "boolean": 2}
        self._code_counts = np.array(
            [code_counts.get(column.type, len(column.vocabulary or ())) for column in columns],
            np.float32,
        )
        self._has_codes = np.isfinite(self._code_counts)
        self._nullable = np.array([column.nullable for column in columns])

    def numbers(self, rows: list[object]) -> NDArray[np.float64] | None:
        """Convert rows of JSON values into the numbers that graphs take.

        Returns:
            Shape (rows, columns), with NaN for null; None when a row has another length, or a
            value has another type or is not in the vocabulary of its column.
        """
        if set(map(type, rows)) != {list}:
            return None
        lists = cast("list[list[Any]]", rows)
        if set(map(len, lists)) != {len(self._types)}:
            return None
        numbers = np.empty((len(rows), len(self._types)), np.float64)
        try:
            for number, (types, codes) in enumerate(zip(self._types, self._codes, strict=True)):
                values = [row[number] for row in lists]
                if not types.issuperset(map(type, values)):
                    return None
                numbers[:, number] = [codes[value] for value in values] if codes else values
        except (KeyError, OverflowError):
            return None
        return numbers

    @np.errstate(invalid="ignore")  # bytes of a client may be signaling NaNs
    def wrong(self, rows: FloatArray) -> NDArray[np.bool_]:
        """Find the values that their columns do not take.

        A numeric column takes finite numbers, a boolean column 0 and 1, a categorical column the
        positions in its vocabulary, a nullable column also NaN.

        Args:
            rows: Shape (rows, columns).

        Returns:
            Booleans of the same shape.
        """
        right = (rows < self._code_counts) & (rows > -np.inf)  # false for NaN
        right &= ~self._has_codes | ((rows >= 0) & (rows == np.floor(rows)))
        right |= np.isnan(rows) & self._nullable
        return ~right


def _types_of(column: ColumnSpec) -> set[type[Any]]:
    types = set(_TYPES[column.type])
    if column.nullable:
        types.add(type(None))
    return types


def _codes_of(column: ColumnSpec) -> dict[object, int | None]:
    """Return the position of every category; an empty dict for a column of another type."""
    codes: dict[object, int | None] = {
        value: position for position, value in enumerate(column.vocabulary or ())
    }
    if codes and column.nullable:
        codes[None] = None  # NumPy converts it to NaN
    return codes
