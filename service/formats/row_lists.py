"""Rows to and from plain Python lists, value by value.

The slow path: tables with typed columns take it in both directions, and requests that the fast path
did not accept take it to find out what is wrong with which row.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import cast

import numpy as np
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.bundle.manifest import ColumnSpec
from service.errors import FieldError, InvalidInput
from service.formats.column_values import number_of
from service.formats.json_terms import json_type
from service.formats.picture_texts import is_picture_text, read_picture_text
from service.formats.row_format import MAX_ERRORS, RowFormat, Shape, invalid_rows_error


def rows_from_lists(rows: object, row_format: RowFormat) -> FloatArray:
    """Convert rows of plain Python values, or report what is wrong with which row.

    Args:
        rows: The value of the request's field, whatever it is.
        row_format: What it should be.

    Returns:
        Contiguous float32, shape (rows, *row shape).

    Raises:
        InvalidInput: Rows of another shape, or values of another type.
        TooManyRows: More rows than the limit.
    """
    if is_picture_text(rows, row_format):
        rows = [rows]
    if not isinstance(rows, list):
        detail = f"{row_format.field} is {json_type(rows)}; a list of rows is expected"
        raise InvalidInput.at(f"/{row_format.field}", detail)
    items = cast("list[object]", rows)
    row_format.check_row_count(len(items))
    return rows_from_blocks([items], row_format, len(items))


def rows_from_blocks(
    blocks: Iterable[list[object] | FloatArray], row_format: RowFormat, count: int
) -> FloatArray:
    """Convert rows that come one block after another, as ``rows_from_lists`` does.

    Args:
        blocks: Rows of plain Python values, one or more in each block; or arrays of the shape of
            these rows.
        row_format: What they should be.
        count: Number of all rows, which has been checked.
    """
    arrays: list[NDArray[np.floating]] = []
    field_errors: list[FieldError] = []
    first = 0
    for block in blocks:
        if isinstance(block, np.ndarray):
            arrays.append(block.reshape(len(block), -1))
        else:
            if first == 0 and _is_one_row(block[0], count, row_format):
                field = row_format.field
                detail = f"{field} is one row; a list of rows is expected: put it in a list"
                raise InvalidInput.at(f"/{field}", detail)
            arrays.append(_numbers_of(block, first, row_format, field_errors))
        first += len(block)
        if len(field_errors) == MAX_ERRORS:
            break
    if field_errors:
        raise invalid_rows_error(field_errors)
    return row_format.cast(np.concatenate(arrays))


def _is_one_row(item: object, count: int, row_format: RowFormat) -> bool:
    """Whether items, of which this is the first, are no rows but together one row."""
    if is_picture_text(item, row_format):
        return False
    shape = [count]
    while isinstance(item, list) and item:
        items = cast("list[object]", item)
        shape.append(len(items))
        item = items[0]
    forms = row_format.forms
    return tuple(shape) in forms and tuple(shape[1:]) not in forms


def _numbers_of(
    rows: list[object], first: int, row_format: RowFormat, field_errors: list[FieldError]
) -> NDArray[np.float64]:
    """Convert rows, and add what is wrong to a list of errors until it is full."""
    if row_format.typed_columns:
        numbers = row_format.prepared_columns.numbers(rows)
        if numbers is not None:
            return numbers
    values: list[list[float]] = []
    for number, row in enumerate(rows, first):
        try:
            values.append(_row_values(row, row_format))
        except ValueError as error:
            pointer = f"/{row_format.field}/{number}"
            field_errors.append(FieldError(pointer, f"row {number} {error}"))
            if len(field_errors) == MAX_ERRORS:
                break
    return np.array(values, np.float64)


def _row_values(row: object, row_format: RowFormat) -> list[float]:
    if is_picture_text(row, row_format):
        return read_picture_text(row, row_format).ravel().tolist()
    values, shape = _flatten(row, row_format.shape)
    if shape not in row_format.forms:
        if isinstance(row, list) and len(shape) == 1:
            raise ValueError(f"has {len(values)} values; {row_format.expected}")
        forms = " or ".join(map(str, row_format.forms))
        raise ValueError(f"has shape {shape}; model {row_format.model} takes {forms}")
    columns = row_format.columns
    if columns is None:
        return [number_of(value, None) for value in values]
    numbers: list[float] = []
    for value, column in zip(values, columns, strict=True):
        try:
            numbers.append(number_of(value, column))
        except ValueError as error:
            raise ValueError(f"{error} (column {column.name})") from error
    return numbers


def _flatten(value: object, expected: Shape) -> tuple[list[object], Shape]:
    """Flatten nested lists.

    Returns:
        The values in row-major order, and the shape of the lists.

    Raises:
        ValueError: The lists are not an array of any shape. The message continues "row 3".
    """
    if not isinstance(value, list):
        problem = f"is {json_type(value)}; a list of values is expected"
        raise ValueError(problem)  # noqa: TRY004  # a wrong value, as everywhere in this walk
    items = cast("list[object]", value)
    nested = [isinstance(item, list) for item in items]
    if not any(nested):
        return items, (len(items),)
    if not all(nested) or len(expected) == 1:
        raise ValueError("mixes lists and values" if len(expected) > 1 else "is nested too deeply")
    if len(items) > prod(expected):
        raise ValueError(f"has {len(items)} lists; at most {prod(expected)} values are expected")
    parts = [_flatten(item, expected[1:]) for item in items]
    shapes = {shape for _, shape in parts}
    if len(shapes) > 1:
        raise ValueError("is ragged: its lists have different lengths")
    return [leaf for leaves, _ in parts for leaf in leaves], (len(items), *shapes.pop())


def rows_to_lists(
    rows: FloatArray, columns: tuple[ColumnSpec, ...], decimals: int | None = None
) -> list[list[object]]:
    """Convert decoded rows of a table into values of the columns' types.

    Example:
        With the columns ``member`` (boolean) and ``city`` (vocabulary ``Bern``, ``Oslo``), the row
        ``[0.7, 0.2]`` becomes ``[True, "Bern"]``: each value is the nearest one of its column.

    Args:
        rows: Shape (rows, columns): numbers as graphs return them.
        columns: Names and types of the columns.
        decimals: Decimals that numbers are rounded to; None to keep them exact.
    """
    values = [
        _column_values(numbers, column, decimals)
        for numbers, column in zip(cast("list[list[float]]", rows.T.tolist()), columns, strict=True)
    ]
    return list(map(list, zip(*values, strict=True)))


def _column_values(
    numbers: list[float], column: ColumnSpec, decimals: int | None
) -> Sequence[object]:
    if column.type == "boolean":
        return [number >= 0.5 for number in numbers]  # nearer to true than to false
    if column.type == "categorical" and column.vocabulary:
        categories, last = column.vocabulary, len(column.vocabulary) - 1
        return [categories[min(max(round(number), 0), last)] for number in numbers]
    if decimals is None:
        return numbers
    return [round(number, decimals) + 0.0 for number in numbers]  # -0.0 becomes 0.0
