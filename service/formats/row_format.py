"""What rows a model takes, and the checks that every media type shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.bundle.manifest import ColumnSpec, Manifest
from service.errors import FieldError, InvalidInput, TooManyRows
from service.formats.typed_columns import TypedColumns

MAX_ERRORS = 10
_BITS_OF_ONE = np.float32(1).view(np.uint32)

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

    def check_shape(self, shape: Shape) -> None:
        """Check the shape of an array of rows.

        Raises:
            InvalidInput: The rows do not have one of ``forms``, or there are none.
            TooManyRows: There are more than ``max_rows``.
        """
        if shape[1:] not in self.forms:
            forms = " or ".join(str(("rows", *form)).replace("'", "") for form in self.forms)
            raise InvalidInput.at(
                f"/{self.field}", f"the array has shape {shape}, the model takes {forms}"
            )
        self.check_row_count(shape[0])

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
