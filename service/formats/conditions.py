"""The conditions of a request as the array that a conditional model's graphs take."""

from typing import Any, cast

import numpy as np

from service.arrays import FloatArray
from service.bundle.manifest import ColumnSpec
from service.errors import InvalidInput
from service.formats.column_values import number_of
from service.formats.json_terms import pointer_to

_MAX_FLOAT32 = float(np.finfo(np.float32).max)


def conditions_array(
    conditions: dict[str, Any] | None, columns: tuple[ColumnSpec, ...] | None, rows: int
) -> FloatArray | None:
    """Convert the conditions of a request.

    Example:
        For columns ``label`` (vocabulary ``cat``, ``dog``) and ``weight``, three rows with
        ``{"label": "dog", "weight": [0.5, 2, -1]}`` become ``[[1, 0.5], [1, 2], [1, -1]]``.

    Args:
        conditions: By name: one value for all rows, or a list of one value per row.
        columns: The model's conditions; None when it takes none.
        rows: Number of rows in the request.

    Returns:
        Float32, shape (rows, conditions); None for a model without conditions.

    Raises:
        InvalidInput: Conditions are missing, unknown, or not one per row.
    """
    given = conditions or {}
    known = [column.name for column in columns or ()]
    if not given.keys() <= set(known):
        detail = f"the model takes the conditions {', '.join(known)}" if known else ""
        raise InvalidInput.at("/conditions", detail or "the model takes no conditions")
    if columns is None:
        return None
    result = np.empty((rows, len(columns)), np.float32)
    for number, column in enumerate(columns):
        pointer = pointer_to("conditions", column.name)
        if column.name not in given:
            raise InvalidInput.at(pointer, f"the model needs the condition {column.name}")
        value = given[column.name]
        values = cast("list[object]", value) if isinstance(value, list) else [value] * rows
        if len(values) != rows:
            raise InvalidInput.at(pointer, f"{len(values)} conditions for {rows} rows")
        try:
            result[:, number] = [_finite_number(item, column) for item in values]
        except ValueError as error:
            raise InvalidInput.at(pointer, f"the condition {column.name} {error}") from error
    return result


def _finite_number(value: object, column: ColumnSpec) -> float:
    number = number_of(value, column)
    if abs(number) > _MAX_FLOAT32:
        raise ValueError("has a value that is not finite as float32")
    return number
