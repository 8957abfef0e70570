"""The conditions of a request as the array that a conditional model's graphs take."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from service.arrays import FloatArray
from service.bundle.manifest import ColumnSpec, Manifest
from service.errors import InvalidInput
from service.formats.column_values import number_of
from service.formats.json_terms import pointer_to

_MAX_FLOAT32 = float(np.finfo(np.float32).max)


def conditions_array(
    conditions: dict[str, Any] | None, manifest: Manifest, rows: int
) -> FloatArray | None:
    """Convert the conditions of a request.

    Example:
        For a model with the conditions ``label`` (vocabulary ``cat``, ``dog``) and ``weight``,
        ``{"label": "dog", "weight": [0.5, 2, -1]}`` of three rows becomes
        ``[[1, 0.5], [1, 2], [1, -1]]``.

    Args:
        conditions: By name: one value for all rows, or a list of one value per row.
        manifest: The model's manifest, which states its conditions if it takes any.
        rows: Number of rows in the request.

    Returns:
        Float32, shape (rows, conditions); None for a model without conditions.

    Raises:
        InvalidInput: Conditions are missing, unknown, or not one per row.
    """
    given = conditions or {}
    columns = manifest.conditions or ()
    _reject_unknown(given, [column.name for column in columns], manifest.name)
    if not columns:
        return None
    result = np.empty((rows, len(columns)), np.float32)
    for number, column in enumerate(columns):
        pointer = pointer_to("conditions", column.name)
        if column.name not in given:
            detail = f"model {manifest.name} needs the condition {column.name}"
            raise InvalidInput.at(pointer, detail)
        try:
            result[:, number] = _column(given[column.name], column, rows)
        except ValueError as error:
            raise InvalidInput.at(pointer, f"the condition {column.name} {error}") from error
    return result


def _reject_unknown(given: Mapping[str, object], known: list[str], model: str) -> None:
    if given.keys() <= set(known):
        return
    detail = f"unknown condition; model {model} takes the conditions {', '.join(known)}"
    if not known:
        detail = f"model {model} takes no conditions; leave them out"
    raise InvalidInput.at("/conditions", detail)


def _column(value: object, column: ColumnSpec, rows: int) -> list[float]:
    values = cast("list[object]", value) if isinstance(value, list) else [value] * rows
    if len(values) != rows:
        raise ValueError(f"has {len(values)} values for {rows} rows; give one for all or one each")
    return [_finite_number(item, column) for item in values]


def _finite_number(value: object, column: ColumnSpec) -> float:
    number = number_of(value, column)
    if abs(number) > _MAX_FLOAT32:
        raise ValueError("has a value that is not finite as float32")
    return number
