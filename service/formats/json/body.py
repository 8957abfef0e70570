"""The JSON body of a request: rows become an array without a Python object per number."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import simdjson
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.errors import InvalidInput, MalformedBody
from service.formats.json.lists_of_one import unwrap
from service.formats.json.nesting import exceeds, have_lengths, is_array, lists_in, shape_of
from service.formats.json.parsing import REPEATED_FIELD, numbers_in, parse_object, plain_value
from service.formats.row_format import RowFormat
from service.formats.row_lists import rows_from_lists

# Reading a body without its lists of one number takes 1.5 times as long as with them at 1 kB, as
# long at 4 to 12 kB, and 0.7 to 0.9 times as long at 30 kB: measured on rows of shapes (28, 28, 1),
# (96, 1) and (8, 1), floats and integers.
_MIN_UNWRAPPED_BYTES = 6 * 1024
_MAX_BYTES_PER_VALUE = 64  # brackets, spaces and digits of a value, in the most generous layout


class JsonBody:
    """A JSON object that is parsed once, and whose rows are converted when their format is known.

    The model that a request means is one of its fields, and the model decides what its rows should
    be: so the fields come first, the rows after them.

    Example:
        >>> body = JsonBody(b'{"model": "plane", "inputs": [[1, 2], [3, 4]]}', "inputs", ["model"])
        >>> body.fields
        {'model': 'plane'}
        >>> row_format = RowFormat(field="inputs", model="plane", shape=(2,), max_rows=10)
        >>> body.rows(row_format)
        array([[1., 2.],
               [3., 4.]], dtype=float32)

    Attributes:
        fields: Every field but the one that holds rows, as Python values; None for a field that is
            not among the options.
    """

    def __init__(self, body: bytes, rows_field: str | None, options: Collection[str]) -> None:
        """Parse a body.

        Args:
            body: UTF-8 JSON text.
            rows_field: Name of the field that holds rows, if the call takes any.
            options: Names of the other fields; the values of unknown fields are not converted.

        Raises:
            MalformedBody: The text is not a JSON object, or repeats a field.
        """
        self._body = body
        self._rows_field = rows_field
        self._options = options
        self._unwrapped: _UnwrappedRows | None = None
        if not self._read_unwrapped():
            self._read(parse_object(body))

    def _read_unwrapped(self) -> bool:
        """Read the body without its lists of one number, if that is how its numbers come."""
        if self._rows_field is None or len(self._body) < _MIN_UNWRAPPED_BYTES:
            return False
        unwrapped = unwrap(self._body)
        if unwrapped is None:
            return False
        try:
            document = simdjson.Parser().parse(unwrapped.text)
        except (ValueError, RuntimeError):
            return False
        if not isinstance(document, simdjson.Object):
            return False
        numbers = numbers_in(document.get(self._rows_field))
        if numbers is None or len(numbers) != unwrapped.lists_of_one:
            return False
        self._read(document)
        self._unwrapped = _UnwrappedRows(numbers, unwrapped.lists)
        return True

    def _read(self, document: Mapping[str, Any]) -> None:
        self._names = list(document)
        if len(set(self._names)) != len(self._names):
            raise MalformedBody(REPEATED_FIELD)
        # Values are fetched by name: simdjson's items() makes Python objects of every number.
        self._rows: object = None
        self.fields: dict[str, Any] = {}
        for name in self._names:
            if name == self._rows_field:
                self._rows = document[name]
            else:
                self.fields[name] = plain_value(document[name]) if name in self._options else None

    def rows(self, row_format: RowFormat) -> FloatArray:
        """Return the rows of the request.

        Args:
            row_format: What they should be.

        Returns:
            Contiguous float32, shape (rows, *row shape).

        Raises:
            InvalidInput: The field is missing, or holds something else.
            TooManyRows: More rows than the limit.
        """
        if self._rows_field not in self._names:
            field = row_format.field
            raise InvalidInput.at(
                f"/{field}", f"the body has no field {field}; a list of rows is expected"
            )
        if isinstance(self._rows, simdjson.Array):
            row_format.check_row_count(len(self._rows))
            numbers = None if row_format.typed_columns else self._numbers(self._rows, row_format)
            if numbers is not None:
                return row_format.cast(numbers)
            if self._unwrapped:  # errors are those of the body as it was sent
                self._unwrapped = None
                self._read(parse_object(self._body))
            if len(self._body) > _MAX_BYTES_PER_VALUE * row_format.size * len(self._rows):
                _reject_long_rows(self._rows, row_format)
        return rows_from_lists(plain_value(self._rows), row_format)

    def _numbers(self, rows: simdjson.Array, row_format: RowFormat) -> NDArray[np.float64] | None:
        """Return all numbers of regular rows; None when they are not, or hold something else."""
        shape = (len(rows), *shape_of(rows[0]))
        row_shape = (*shape[1:], 1) if self._unwrapped else shape[1:]
        if row_shape not in row_format.forms:
            return None
        if self._unwrapped:
            numbers, lists = self._unwrapped
            return numbers if lists == lists_in(shape) and have_lengths(rows, shape) else None
        numbers = numbers_in(rows)
        if numbers is None or len(numbers) != len(rows) * row_format.size:
            return None
        fields = {name: self.fields.get(name, rows) for name in self._names}
        is_regular = is_array(self._body, fields, cast("str", self._rows_field), shape)
        return numbers if is_regular else None


class _UnwrappedRows(NamedTuple):
    """Rows in which every number came in a list of its own.

    Attributes:
        numbers: All numbers in order.
        lists: Number of lists besides those of one number.
    """

    numbers: NDArray[np.float64]
    lists: int


def _reject_long_rows(rows: simdjson.Array, row_format: RowFormat) -> None:
    """Reject a row of very many values before a Python object is made of each.

    Raises:
        InvalidInput: There is such a row.
    """
    for number, row in enumerate(rows):
        if exceeds(row, row_format.shape):
            raise InvalidInput.at(
                f"/{row_format.field}/{number}",
                f"row {number} has too many values; {row_format.expected}",
            )
