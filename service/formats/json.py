"""JSON to arrays and back, without a Python object per number."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.errors import InvalidInput, MalformedBody
from service.formats.decimals import write_decimals
from service.formats.json_terms import json_type
from service.formats.lists_of_one import unwrap
from service.formats.nesting import depth, exceeds, have_lengths, is_array, lists_in, shape_of
from service.formats.row_format import RowFormat
from service.formats.row_lists import rows_from_lists
from service.formats.scientific import write_scientific

_NON_FINITE_LITERAL = re.compile(rb"[\s:,\[]-?(?:NaN|Infinity)\b")
# What simdjson says of numbers that are JSON, but beyond int64 or float64.
_OVERSIZED_NUMBER = re.compile(r"NUMBER_ERROR|BIGINT_ERROR")
_FIELD_TWICE = "the body names a field twice"
_MAX_DIGITS = 400  # more than any float64 has before its decimal point
# Python's reader stops at a depth that differs from one version to the next, or at none.
_MAX_NESTING = 500
_NESTED_TOO_DEEPLY = "the body is nested too deeply"
_MIN_VALUES_FOR_TABLE = 4096  # values: for fewer a few dozen calls of NumPy take longer than orjson
_MAX_BYTES_PER_VALUE = 64  # brackets, spaces and digits of a value, in the most generous layout


class JsonBody:
    """A JSON object whose numbers have not been touched yet.

    Attributes:
        fields: Every field but the one that holds rows, as Python values.
    """

    def __init__(self, body: bytes, rows_field: str | None, options: Collection[str]) -> None:
        """Parse a body.

        Args:
            body: UTF-8 JSON text.
            rows_field: Name of the field that holds rows, if the call takes any.
            options: Names of the other fields; of unknown ones the value is not read.

        Raises:
            MalformedBody: The text is not a JSON object, or repeats a field.
        """
        self._body = body
        self._rows_field = rows_field
        self._options = options
        self._in_lists_of_one: _InListsOfOne | None = None
        if not self._read_unwrapped():
            self._read(_parse_object(body))

    def _read_unwrapped(self) -> bool:
        """Read the body without lists that hold one number each, if its numbers are in such."""
        unwrapped = unwrap(self._body) if self._rows_field else None
        if unwrapped is None:
            return False
        try:
            document = simdjson.Parser().parse(unwrapped.text)
        except (ValueError, RuntimeError):
            return False
        if not isinstance(document, simdjson.Object):
            return False
        numbers = _numbers_in(document.get(cast("str", self._rows_field)))
        if numbers is None or len(numbers) != unwrapped.lists_of_one:
            return False
        self._read(document)
        self._in_lists_of_one = _InListsOfOne(numbers, unwrapped.lists)
        return True

    def _read(self, document: Mapping[str, Any]) -> None:
        self._names = list(document)
        if len(set(self._names)) != len(self._names):
            raise MalformedBody(_FIELD_TWICE)
        # Values are fetched by name: simdjson's items() makes Python objects of every number.
        self._rows: object = None
        self.fields: dict[str, Any] = {}
        for name in self._names:
            if name == self._rows_field:
                self._rows = document[name]
            else:
                self.fields[name] = _plain(document[name]) if name in self._options else None

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
            raise InvalidInput.at(f"/{field}", f"the body has no field {field}")
        if isinstance(self._rows, simdjson.Array):
            row_format.check_row_count(len(self._rows))
            numbers = None if row_format.typed_columns else self._numbers(self._rows, row_format)
            if numbers is not None:
                return row_format.cast(numbers)
            if self._in_lists_of_one:  # whatever is wrong is wrong with the body as it came
                self._in_lists_of_one = None
                self._read(_parse_object(self._body))
            if len(self._body) > _MAX_BYTES_PER_VALUE * row_format.size * len(self._rows):
                _refuse_overlong(self._rows, row_format)
        return rows_from_lists(_plain(self._rows), row_format)

    def _numbers(self, rows: simdjson.Array, row_format: RowFormat) -> NDArray[np.float64] | None:
        """Return all numbers of regular rows; None when they are not, or hold something else."""
        shape = (len(rows), *shape_of(rows[0]))
        row_shape = (*shape[1:], 1) if self._in_lists_of_one else shape[1:]
        if row_shape not in row_format.forms:
            return None
        if self._in_lists_of_one:
            numbers, lists = self._in_lists_of_one
            return numbers if lists == lists_in(shape) and have_lengths(rows, shape) else None
        numbers = _numbers_in(rows)
        if numbers is None or len(numbers) != len(rows) * row_format.size:
            return None
        fields = {name: self.fields.get(name, rows) for name in self._names}
        is_regular = is_array(self._body, fields, cast("str", self._rows_field), shape)
        return numbers if is_regular else None


class _InListsOfOne(NamedTuple):
    """What rows hold whose every number is in a list of its own.

    Attributes:
        numbers: All numbers.
        lists: Lists besides those of one number.
    """

    numbers: NDArray[np.float64]
    lists: int


def _numbers_in(lists: object) -> NDArray[np.float64] | None:
    """Return all numbers of nested lists, or None when there is something else."""
    if not isinstance(lists, simdjson.Array):
        return None
    try:
        return np.frombuffer(lists.as_buffer(of_type="d"))
    except TypeError:
        return None


def _parse_object(body: bytes) -> Mapping[str, Any]:
    if not body:
        raise MalformedBody("the body is empty; a JSON object is expected")
    try:
        document: object = simdjson.Parser().parse(body)
    except UnicodeDecodeError as error:
        raise MalformedBody("the body is not UTF-8") from error
    except (ValueError, RuntimeError) as error:
        if not _OVERSIZED_NUMBER.match(str(error)):
            raise MalformedBody(_why_malformed(body, str(error))) from error
        document = _parse_oversized_numbers(body)
    if not isinstance(document, (simdjson.Object, dict)):
        kind = "a list" if isinstance(document, simdjson.Array) else json_type(document)
        raise MalformedBody(f"the body is {kind}; a JSON object is expected")
    return cast("Mapping[str, Any]", document)


def _why_malformed(body: bytes, reason: str) -> str:
    if _NON_FINITE_LITERAL.search(body):
        return "NaN and Infinity are not JSON; every value must be a finite number"
    if "DEPTH_ERROR" in reason:
        return _NESTED_TOO_DEEPLY
    return "the body is not valid JSON"


def _parse_oversized_numbers(body: bytes) -> object:
    """Parse with Python's reader, whose integers are long and whose floats become inf."""

    def read_integer(digits: str) -> int | float:
        return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)

    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise MalformedBody(_FIELD_TWICE)
        return dict(pairs)

    def refuse_constant(_: str) -> object:
        raise MalformedBody("NaN and Infinity are not JSON; every value must be a finite number")

    if depth(body) > _MAX_NESTING:
        raise MalformedBody(_NESTED_TOO_DEEPLY)
    try:
        document: object = json.loads(
            body,
            object_pairs_hook=refuse_duplicates,
            parse_constant=refuse_constant,
            parse_int=read_integer,
        )
        if b"\\u" in body:  # half of a surrogate pair is no text, which only Python's reader takes
            json.dumps(document, ensure_ascii=False).encode()
    except RecursionError as error:
        raise MalformedBody(_NESTED_TOO_DEEPLY) from error
    except ValueError as error:
        raise MalformedBody("the body is not valid JSON") from error
    return document


def _plain(value: object) -> object:
    if isinstance(value, simdjson.Array):
        return cast("Any", value).as_list()  # its stub leaves nested lists untyped
    if isinstance(value, simdjson.Object):
        fields = value.as_dict()
        if len(fields) != len(value):
            raise MalformedBody(_FIELD_TWICE)
        return fields
    return value


def _refuse_overlong(rows: simdjson.Array, row_format: RowFormat) -> None:
    """Refuse a row of very many values before a Python object is made of each.

    Raises:
        InvalidInput: There is one.
    """
    for number, row in enumerate(rows):
        if exceeds(row, row_format.shape):
            raise InvalidInput.at(
                f"/{row_format.field}/{number}",
                f"row {number} holds more than a row's values, {row_format.expected()}",
            )


def write_json(answer: Mapping[str, Any], decimals: int | None = None) -> bytes:
    """Write an answer; arrays are written without a Python object per number.

    Args:
        answer: Its fields.
        decimals: What the numbers of float32 arrays are rounded to. Without it, and in an array
            with a number that ``write_decimals`` has no room for, each is a text that gives the
            same float32 back: the shortest, or in large arrays whatever is quicker to write.
    """
    if decimals is None and not any(map(_is_written_apart, answer.values())):
        return _text(answer)
    pieces: list[bytes | memoryview] = []
    for name, value in answer.items():
        is_array = isinstance(value, np.ndarray)
        text = _array_text(cast("NDArray[Any]", value), decimals) if is_array else _text(value)
        pieces += [b",", _text(name), b":", text]
    pieces[0] = b"{"
    return b"".join([*pieces, b"}"])


def _is_written_apart(value: object) -> bool:
    if not isinstance(value, np.ndarray):
        return False
    array = cast("NDArray[Any]", value)
    return not array.flags.c_contiguous or _is_large(array) or _holds_lists_of_one(array)


def _is_large(array: NDArray[Any]) -> bool:
    return array.dtype == np.float32 and array.size >= _MIN_VALUES_FOR_TABLE


def _holds_lists_of_one(array: NDArray[Any]) -> bool:
    return array.ndim > 1 and array.shape[-1] == 1


def _array_text(array: NDArray[Any], decimals: int | None) -> bytes | memoryview:
    if decimals is not None and array.dtype == np.float32:
        rounded = write_decimals(array, decimals)
        if rounded is not None:
            return rounded.data
    if _is_large(array):
        exact = write_scientific(array)
        if exact is not None:
            return exact.data
    if _holds_lists_of_one(array):
        # Lists of one number each take longer to write than the numbers. Every comma without
        # them becomes one with them: between numbers, and between the lists of any axis.
        numbers = _text(np.ascontiguousarray(array[..., 0]))
        return b"[%b]" % numbers.replace(b",", b"],[")
    return _text(np.ascontiguousarray(array))


def _text(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
