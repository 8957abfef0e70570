"""What rows a model takes, and the checks that every media type shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.bundle.manifest import ColumnSpec, Manifest
from service.errors import FieldError, InvalidInput, TooManyRows
from service.formats.typed_columns import TypedColumns

MAX_ERRORS = 10
_MAX_POINTER_CHARACTERS = 80
_BITS_OF_ONE = np.float32(1).view(np.uint32)
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
JSON_TYPES: dict[type[Any], str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class RowFormat:
    """The rows of one request field for one model.

    Attributes:
        field: Name of the field: ``inputs`` or ``codes``.
        shape: Shape of one row as the graphs take it.
        is_image: Values lie in [0, 1], and integer pixels are divided by 255.
        has_channels: The last axis counts channels, and may be left out when it is 1.
        columns: Names and types of a table's columns, if it has any.
        max_rows: Most rows of one request.
    """

    field: str
    shape: Shape
    is_image: bool
    has_channels: bool
    columns: tuple[ColumnSpec, ...] | None
    max_rows: int

    @classmethod
    def of_inputs(cls, manifest: Manifest, max_rows: int) -> "RowFormat":
        """Describe what ``inputs`` of a model are."""
        spec = manifest.input
        return cls(
            field="inputs",
            shape=spec.shape,
            is_image=spec.kind == "image",
            has_channels=spec.kind in ("image", "series"),
            columns=spec.columns,
            max_rows=max_rows,
        )

    @classmethod
    def of_codes(cls, manifest: Manifest, max_rows: int) -> "RowFormat":
        """Describe what ``codes`` of a model are."""
        return cls("codes", manifest.code.shape, False, False, None, max_rows)

    @cached_property
    def size(self) -> int:
        """Values of one row."""
        return prod(self.shape)

    @cached_property
    def forms(self) -> tuple[Shape, ...]:
        """Shapes one row may come in: full, without its single channel, flat."""
        forms = [self.shape]
        if self.has_channels and self.shape[-1] == 1:
            forms.append(self.shape[:-1])
        return tuple(dict.fromkeys([*forms, (self.size,)]))

    @cached_property
    def typed_columns(self) -> tuple[ColumnSpec, ...] | None:
        """The columns, when a row may hold something else than numbers."""
        columns = self.columns or ()
        typed = any(column.type != "numeric" or column.nullable for column in columns)
        return columns if typed else None

    @cached_property
    def prepared_columns(self) -> TypedColumns:
        """The typed columns, for many rows at once."""
        return TypedColumns(self.typed_columns or ())

    def expected(self) -> str:
        """Say in words what one row is."""
        if len(self.forms) == 1:
            return str(self.size)
        return f"{self.size}, as {' or '.join(str(form) for form in self.forms)}"

    def check_row_count(self, rows: int) -> None:
        """Refuse no rows at all, and too many.

        Raises:
            InvalidInput: There are none.
            TooManyRows: There are more than ``max_rows``.
        """
        if rows == 0:
            raise InvalidInput.at(f"/{self.field}", f"{self.field} has no rows; one is the least")
        if rows > self.max_rows:
            raise TooManyRows(f"{rows} rows were sent, {self.max_rows} is the limit")

    def cast(self, values: NDArray[Any]) -> FloatArray:
        """Turn numbers into what the graphs take, or name the rows that cannot be.

        Args:
            values: Real numbers, (rows, ...) with ``size`` values a row.

        Returns:
            Contiguous float32, shape (rows, *shape).

        Raises:
            InvalidInput: A value is not finite as float32, or out of range.
        """
        if values.dtype != np.float32:
            values = _to_float32(values)
        if not (values.flags.c_contiguous and values.flags.aligned):
            # Bytes of a request may start anywhere; a graph reads whole, aligned floats.
            values = np.require(values, np.float32, ("C", "A"))
        rows = values.reshape(-1, *self.shape)
        if self.typed_columns:
            self._check_columns(rows, self.typed_columns)
        elif self.is_image and rows.view(np.uint32).max() <= _BITS_OF_ONE:
            pass  # what is negative, greater or not finite has larger bits
        else:
            finite = np.isfinite(rows)
            if not finite.all():
                self._reject_rows(~finite, "has a value that is not finite as float32")
            if self.is_image:
                self._reject_rows((rows < 0) | (rows > 1), "has a value outside [0, 1]")
        return rows

    def _check_columns(self, rows: FloatArray, columns: tuple[ColumnSpec, ...]) -> None:
        wrong = self.prepared_columns.wrong(rows)
        if not np.count_nonzero(wrong):
            return
        for column, values in zip(columns, wrong.T, strict=True):
            if column.type == "numeric":
                problem = f"has a value of column {column.name} that is not finite as float32"
            else:
                problem = f"has no valid {column.type} code in column {column.name}"
            self._reject_rows(values, problem)

    def _reject_rows(self, wrong: NDArray[np.bool_], problem: str) -> None:
        if not np.count_nonzero(wrong):
            return
        rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
        raise invalid_rows_error(
            [
                FieldError(f"/{self.field}/{row}", f"row {row} {problem}")
                for row in rows[:MAX_ERRORS]
            ],
            len(rows),
        )


@np.errstate(over="ignore", invalid="ignore")
def _to_float32(values: NDArray[Any]) -> FloatArray:
    return values.astype(np.float32)


def invalid_rows_error(
    field_errors: Sequence[FieldError], count: int | None = None
) -> InvalidInput:
    """Make the error for a list of field errors, whose summary is the first of them."""
    more = (count or len(field_errors)) - 1
    others = f"{more} more rows are" if more > 1 else "1 more row is"
    summary = field_errors[0].detail + (f" ({others} wrong)" if more else "")
    return InvalidInput(summary, field_errors)


def rows_from_lists(rows: object, row_format: RowFormat) -> FloatArray:
    """Turn rows of plain Python values into an array, or say what is wrong with which row.

    The slow way, value by value: for tables with typed columns, and for requests that the fast
    way has refused.

    Args:
        rows: What the request's field holds.
        row_format: What it should hold.

    Raises:
        InvalidInput: Rows of another shape, or values of another type.
        TooManyRows: More rows than the limit.
    """
    if not isinstance(rows, list):
        pointer = f"/{row_format.field}"
        raise InvalidInput.at(
            pointer, f"{row_format.field} is {json_type(rows)}, a list of rows is expected"
        )
    items = cast("list[object]", rows)
    row_format.check_row_count(len(items))
    if not isinstance(items[0], list) and len(items) == row_format.size:
        detail = "inputs is one row; a list of rows is expected: put the row in a list"
        raise InvalidInput.at(f"/{row_format.field}", detail.replace("inputs", row_format.field))
    if row_format.typed_columns:
        numbers = row_format.prepared_columns.numbers(items)
        if numbers is not None:
            return row_format.cast(numbers)
    values: list[list[float]] = []
    field_errors: list[FieldError] = []
    for number, row in enumerate(items):
        try:
            values.append(_row_values(row, row_format))
        except ValueError as error:
            field_errors.append(
                FieldError(f"/{row_format.field}/{number}", f"row {number} {error}")
            )
            if len(field_errors) == MAX_ERRORS:
                break
    if field_errors:
        raise invalid_rows_error(field_errors)
    return row_format.cast(np.array(values, np.float64))


def _row_values(row: object, row_format: RowFormat) -> list[float]:
    values, shape = _flatten(row, row_format.shape)
    if shape not in row_format.forms:
        if isinstance(row, list) and len(shape) == 1:
            raise ValueError(f"has {len(values)} values, the model takes {row_format.expected()}")
        raise ValueError(
            f"has shape {shape}, the model takes {' or '.join(map(str, row_format.forms))}"
        )
    columns = row_format.columns
    if columns is None:
        return [_number(value, None) for value in values]
    numbers: list[float] = []
    for value, column in zip(values, columns, strict=True):
        try:
            numbers.append(_number(value, column))
        except ValueError as error:
            raise ValueError(f"{error} (column {column.name})") from error
    return numbers


def _flatten(value: object, expected: Shape) -> tuple[list[object], Shape]:
    """Flatten nested lists; raises ValueError when they are no regular array."""
    if not isinstance(value, list):
        problem = f"is {json_type(value)}, a list of values is expected"
        raise ValueError(problem)  # noqa: TRY004  # a wrong value, as everywhere in this walk
    items = cast("list[object]", value)
    nested = [isinstance(item, list) for item in items]
    if not any(nested):
        return items, (len(items),)
    if not all(nested) or len(expected) == 1:
        raise ValueError("mixes lists and values" if len(expected) > 1 else "is nested too deeply")
    if len(items) > prod(expected):
        raise ValueError(f"has {len(items)} lists, the model takes {prod(expected)} values")
    parts = [_flatten(item, expected[1:]) for item in items]
    shapes = {shape for _, shape in parts}
    if len(shapes) > 1:
        raise ValueError("is ragged: its lists have different lengths")
    return [leaf for leaves, _ in parts for leaf in leaves], (len(items), *shapes.pop())


def _number(value: object, column: ColumnSpec | None) -> float:
    kind = column.type if column else "numeric"
    if value is None and column and column.nullable:
        return float("nan")
    # JSON has one kind of number: 3.0 is the category 3. A boolean is no number.
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
    wanted = {"numeric": "number", "boolean": "boolean", "categorical": "category"}[kind]
    raise ValueError(f"has {json_type(value)} where a {wanted} is expected")


def json_type(value: object) -> str:
    """Name the JSON type of a Python value, as a client would."""
    return JSON_TYPES.get(type(value), "a value of another kind")


def rows_to_lists(
    rows: FloatArray, columns: tuple[ColumnSpec, ...], decimals: int | None = None
) -> list[list[object]]:
    """Turn decoded table rows into values of the columns' types: the way back.

    Args:
        rows: Shape (rows, columns): numbers as graphs give them.
        columns: Names and types of the columns.
        decimals: What numbers are rounded to, if anything.
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


def conditions_array(
    conditions: dict[str, Any] | None, columns: tuple[ColumnSpec, ...] | None, rows: int
) -> FloatArray | None:
    """Turn the conditions of a request into what a conditional model's graphs take.

    Args:
        conditions: By name: one value for all rows, or a list of one per row.
        columns: The model's conditions; None when it takes none.
        rows: Rows of the request.

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
            result[:, number] = [_condition(item, column) for item in values]
        except ValueError as error:
            raise InvalidInput.at(pointer, f"the condition {column.name} {error}") from error
    return result


def _condition(value: object, column: ColumnSpec) -> float:
    number = _number(value, column)
    if abs(number) > _MAX_FLOAT32:
        raise ValueError("has a value that is not finite as float32")
    return number


def pointer_to(*place: str | int) -> str:
    """Write an RFC 6901 pointer, cut short where a client's own words would make it long."""
    steps = [str(step).replace("~", "~0").replace("/", "~1") for step in place]
    return "".join(f"/{step}" for step in steps)[:_MAX_POINTER_CHARACTERS]
