"""Tables of numbers, booleans and categories, column by column.

The quick way for rows that are as they should be. Why others are not is found out value by value,
elsewhere.
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
    """What the values of a row may be, prepared for many rows at once."""

    def __init__(self, columns: tuple[ColumnSpec, ...]) -> None:
        """Prepare.

        Args:
            columns: Names and types of a row's values.
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
        """Turn rows of JSON values into the numbers that graphs take.

        Returns:
            Shape (rows, columns), with NaN for null; None when a row has another length, or a
            value another type or no place in its column's vocabulary.
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
        """Find what is neither finite, nor the code of a category or boolean, nor may be missing.

        Args:
            rows: Shape (rows, columns).

        Returns:
            Booleans of the same shape.
        """
        right = (rows < self._code_counts) & (rows > -np.inf)  # of NaN neither is true
        right &= ~self._has_codes | ((rows >= 0) & (rows == np.floor(rows)))
        right |= np.isnan(rows) & self._nullable
        return ~right


def _types_of(column: ColumnSpec) -> set[type[Any]]:
    types = set(_TYPES[column.type])
    if column.nullable:
        types.add(type(None))
    return types


def _codes_of(column: ColumnSpec) -> dict[object, int | None]:
    """Return the position of every category; nothing for a column of another type."""
    codes: dict[object, int | None] = {
        value: position for position, value in enumerate(column.vocabulary or ())
    }
    if codes and column.nullable:
        codes[None] = None  # which NumPy makes NaN
    return codes
