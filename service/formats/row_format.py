"""Which rows a model takes, and the checks that all formats share."""

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
"""Wrong rows that an error names; the others are counted."""
_BITS_OF_ONE = np.float32(1).view(np.uint32)
_MAX_BYTE = 255

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """The rows that one field of a request may hold for one model.

    Every format reads a body in its own way and then calls ``check_shape`` or ``check_row_count``
    for the number and shape of rows, and ``cast`` for their values.

    Example:
        >>> row_format = RowFormat(field="inputs", model="plane", shape=(2,), max_rows=10)
        >>> row_format.cast(np.array([[1, 2], [3, 4]]))
        array([[1., 2.],
               [3., 4.]], dtype=float32)

    Attributes:
        field: Name of the field: ``inputs`` or ``codes``.
        model: Name of the model, for error messages.
        shape: Shape of one row as the graphs take it.
        max_rows: Maximum number of rows in one request.
        is_image: Whether values must be in [0, 1] and integer pixels are divided by 255.
        has_channels: Whether the last axis counts channels: it may be left out when it is 1.
        columns: Names and types of a table's columns, if it has any.
        background: What shows behind the transparent parts of a picture, in [0, 1].
        white: The sample that is white in pictures of 16 bits a sample, where a request states it.
    """

    field: str
    model: str
    shape: Shape
    max_rows: int
    is_image: bool = False
    has_channels: bool = False
    columns: tuple[ColumnSpec, ...] | None = None
    background: float = 0.0
    white: int | None = None

    @classmethod
    def of_inputs(cls, manifest: Manifest, max_rows: int) -> "RowFormat":
        """Return the format of a model's ``inputs``."""
        spec = manifest.input
        return cls(
            field="inputs",
            model=manifest.name,
            shape=spec.shape,
            max_rows=max_rows,
            is_image=spec.kind == "image",
            has_channels=spec.kind in ("image", "series"),
            columns=spec.columns,
            background=spec.background or 0.0,
        )

    @classmethod
    def of_codes(cls, manifest: Manifest, max_rows: int) -> "RowFormat":
        """Return the format of a model's ``codes``."""
        return cls(field="codes", model=manifest.name, shape=manifest.code.shape, max_rows=max_rows)

    @cached_property
    def size(self) -> int:
        """Number of values in one row."""
        return prod(self.shape)

    @cached_property
    def forms(self) -> tuple[Shape, ...]:
        """Shapes in which one row may come: full, without its single channel, flat.

        Example:
            For images of shape (28, 28, 1): ``((28, 28, 1), (28, 28), (784,))``.
        """
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
        """The typed columns, prepared for many rows at once."""
        return TypedColumns(self.typed_columns or ())

    @cached_property
    def expected(self) -> str:
        """What one row should be, as the second half of an error message.

        Example:
            ``model mnist-stacked takes 784, as (28, 28, 1) or (28, 28) or (784,)``
        """
        forms = " or ".join(map(str, self.forms))
        return f"model {self.model} takes {self.size}" + f", as {forms}" * (len(self.forms) > 1)

    def check_shape(self, shape: Shape) -> None:
        """Check the shape of an array of rows.

        Raises:
            InvalidInput: The rows do not have one of ``forms``, or there are none.
            TooManyRows: There are more than ``max_rows``.
        """
        if shape[1:] not in self.forms:
            forms = " or ".join(str(("rows", *form)).replace("'", "") for form in self.forms)
            raise InvalidInput.at(
                f"/{self.field}", f"the array has shape {shape}; model {self.model} takes {forms}"
            )
        self.check_row_count(shape[0])

    def check_row_count(self, rows: int) -> None:
        """Reject a request without rows, or with more than the limit.

        Raises:
            InvalidInput: There are none.
            TooManyRows: There are more than ``max_rows``.
        """
        if rows == 0:
            raise InvalidInput.at(f"/{self.field}", f"{self.field} has no rows; send at least one")
        if rows > self.max_rows:
            raise TooManyRows(
                f"the request has {rows} rows; the limit is {self.max_rows}: split it"
            )

    def cast(self, values: NDArray[Any]) -> FloatArray:
        """Convert numbers into what the graphs take, or name the rows that are out of range.

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
            # The bytes of a request may start at any address; graphs read aligned floats.
            values = np.require(values, np.float32, ("C", "A"))
        rows = values.reshape(-1, *self.shape)
        if self.typed_columns:
            self._check_columns(rows, self.typed_columns)
        elif self.is_image and rows.view(np.uint32).max() <= _BITS_OF_ONE:
            pass  # negative, greater and non-finite numbers have larger bits
        else:
            finite = np.isfinite(rows)
            if not finite.all():
                self._reject_rows(~finite, "has a value that is not finite as float32")
            if self.is_image:
                self._reject_rows((rows < 0) | (rows > 1), _out_of_range(rows))
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


def _out_of_range(pixels: FloatArray) -> str:
    """Say that values are outside of [0, 1], and what pixels in another usual range need."""
    problem = "has a value outside [0, 1]"
    lowest, highest = pixels.min(), pixels.max()
    if lowest >= 0 and 2 < highest <= _MAX_BYTE:
        return f"{problem}: divide pixels of 0 to 255 by 255"
    if -1 <= lowest <= -0.5 and highest <= 1:
        return f"{problem}: of pixels of -1 to 1, send (pixel + 1) / 2"
    return problem


@np.errstate(over="ignore", invalid="ignore")
def _to_float32(values: NDArray[Any]) -> FloatArray:
    return values.astype(np.float32)


def invalid_rows_error(
    field_errors: Sequence[FieldError], count: int | None = None
) -> InvalidInput:
    """Return the error for a list of wrong rows, summarized by the first of them.

    Args:
        field_errors: Some of the wrong rows, at least one.
        count: Number of all wrong rows, if there are more.
    """
    more = (count or len(field_errors)) - 1
    others = f"{more} more rows are" if more > 1 else "1 more row is"
    if count is None and len(field_errors) == MAX_ERRORS:  # nobody has looked at the rows behind
        others = f"at least {others}"
    summary = field_errors[0].detail + (f" ({others} wrong)" if more else "")
    return InvalidInput(summary, field_errors)
