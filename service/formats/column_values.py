"""One JSON value of a column as the number that graphs take."""

from service.bundle.manifest import ColumnSpec
from service.formats.json_terms import json_type

_EXPECTED = {"numeric": "number", "boolean": "boolean", "categorical": "category"}


def number_of(value: object, column: ColumnSpec | None) -> float:
    """Convert a value of a typed column, or of a model without columns.

    Example:
        >>> city = ColumnSpec(name="city", type="categorical", vocabulary=("Bern", "Oslo"))
        >>> number_of("Oslo", city)
        1.0

    Args:
        value: Any JSON value.
        column: The column's type and vocabulary; None for a number of a model without columns.

    Returns:
        A number as it is (infinity when beyond float64), 1 or 0 for a boolean, the position in the
        vocabulary for a category, NaN for null in a nullable column.

    Raises:
        ValueError: The value is of another type or not in the vocabulary. The message continues a
            sentence about the row: "has a string where a number is expected".
    """
    kind = column.type if column else "numeric"
    if value is None and column and column.nullable:
        return float("nan")
    # JSON has one number type: 3.0 is the category 3. A boolean is not a number.
    if kind == "categorical" and column and type(value) in (str, int, float):
        if value not in (column.vocabulary or ()):
            raise ValueError("has a category that is not in the vocabulary")
        return float((column.vocabulary or ()).index(value))
    if kind == "boolean" and isinstance(value, bool):
        return float(value)
    if kind == "numeric" and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    raise ValueError(f"has {json_type(value)} where a {_EXPECTED[kind]} is expected")
