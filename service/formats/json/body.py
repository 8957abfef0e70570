"""The JSON body of a request: rows become an array without a Python object per number."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import simdjson
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.errors import MalformedBody
from service.formats.json.lists_of_one import unwrap
from service.formats.json.nesting import have_lengths, is_array, lists_in, shape_of
from service.formats.json.parsing import (
    REPEATED_FIELD,
    OversizedNumberError,
    numbers_in,
    parse_object,
    plain_value,
)
from service.formats.json.sliced_body import (
    MAX_FIELDS,
    SlicedBody,
    missing_rows,
    too_many_fields,
    too_many_values,
)
from service.formats.row_format import RowFormat
from service.formats.row_lists import rows_from_lists
from service.off_loop import require_thread

# Reading a body without its lists of one number takes 1.5 times as long as with them at 1 kB, as
# long at 4 to 12 kB, and 0.7 to 0.9 times as long at 30 kB: measured on rows of shapes (28, 28, 1),
# (96, 1) and (8, 1), floats and integers.
_MIN_UNWRAPPED_BYTES = 6 * 1024
# A larger body is read slice by slice on a thread, which takes two to four times as long. Numbers
# of 1 MB are read as a whole in 2 ms, and in 20 ms where they have one digit each.
_MAX_WHOLE_BYTES = 1536 * 1024
# So is a larger body that does not hold regular rows of numbers besides a few values: what takes a
# Python object per value takes 10 ms for 64 kB.
_MAX_OBJECTS_BYTES = 64 * 1024
_MAX_QUICK_VALUES = 1024


class JsonBody:
    """A JSON object that is parsed once, and whose rows are converted when their format is known.

    The model that a request means is one of its fields, and the model decides what its rows should
    be: so the fields come first, the rows after them.

    Example:
        >>> text = b'{"model": "plane", "inputs": [[1, 2], [3, 4]]}'
        >>> body = JsonBody(text, "inputs", ["model"], max_rows=10)
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

    def __init__(
        self,
        body: bytes,
        rows_field: str | None,
        options: Collection[str],
        max_rows: int,
    ) -> None:
        """Parse a body.

        Args:
            body: UTF-8 JSON text.
            rows_field: Name of the field that holds rows, if the call takes any.
            options: Names of the other fields; the values of unknown fields are not converted.
            max_rows: Rows of one request at most; a list beside rows has no more values.

        Raises:
            MalformedBody: The text is not a JSON object, or repeats a field.
            InvalidInput: It has too many fields, or a field too many values.
            CostlyWork: It has to be read on a thread, and this is an event loop's.
        """
        self._body = body
        self._rows_field = rows_field
        self._options = options
        self._max_rows = max_rows
        self._unwrapped: _UnwrappedRows | None = None
        self._sliced: SlicedBody | None = None
        if len(body) > _MAX_WHOLE_BYTES:
            self._slice()
        elif not self._read_unwrapped():
            try:
                self._read(parse_object(body, _MAX_OBJECTS_BYTES))
            except OversizedNumberError:
                self._slice()

    def _slice(self) -> SlicedBody:
        """Read the body slice by slice from here on."""
        require_thread(len(self._body))
        self._sliced = SlicedBody(self._body, self._rows_field, self._options, self._max_rows)
        self.fields = self._sliced.fields
        return self._sliced

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
        if len(document) > MAX_FIELDS:
            raise too_many_fields("", len(document))
        self._names = list(document)
        if len(set(self._names)) != len(self._names):
            raise MalformedBody(REPEATED_FIELD)
        if len(self._body) > _MAX_OBJECTS_BYTES and any(
            name in self._options and name != self._rows_field and _holds_many(document[name])
            for name in self._names
        ):
            self._slice()
            return
        # Values are fetched by name: simdjson's items() makes Python objects of every number.
        self._rows: object = None
        self.fields: dict[str, Any] = {}
        for name in self._names:
            if name == self._rows_field:
                self._rows = document[name]
            else:
                known = name in self._options
                self.fields[name] = self._option(name, document[name]) if known else None

    def _option(self, name: str, value: object) -> object:
        if isinstance(value, simdjson.Array) and len(value) > self._max_rows:
            raise too_many_values(name, len(value), self._max_rows)
        return plain_value(value)

    def rows(self, row_format: RowFormat) -> FloatArray:
        """Return the rows of the request.

        Args:
            row_format: What they should be.

        Returns:
            Contiguous float32, shape (rows, *row shape).

        Raises:
            InvalidInput: The field is missing, or holds something else.
            TooManyRows: More rows than the limit.
            CostlyWork: The rows have to be read on a thread, and this is an event loop's.
        """
        if self._sliced is not None:
            return self._sliced.rows(row_format)
        if self._rows_field not in self._names:
            raise missing_rows(row_format.field)
        if isinstance(self._rows, simdjson.Array):
            row_format.check_row_count(len(self._rows))
            numbers = None if row_format.typed_columns else self._numbers(self._rows, row_format)
            if numbers is not None:
                return row_format.cast(numbers)
        if len(self._body) > _MAX_OBJECTS_BYTES:
            return self._slice().rows(row_format)
        if self._unwrapped:  # errors are those of the body as it was sent
            self._unwrapped = None
            self._read(parse_object(self._body))
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


def _holds_many(value: object) -> bool:
    """Whether a value holds so many values that Python objects of them take their time."""
    if isinstance(value, simdjson.Object):
        return len(value) > MAX_FIELDS or any(_holds_many(value[name]) for name in value)
    if not isinstance(value, simdjson.Array):
        return False
    containers = (simdjson.Array, simdjson.Object)
    return len(value) > _MAX_QUICK_VALUES or any(isinstance(item, containers) for item in value)
