"""All numbers of a long regular array, parsed slice by slice.

The text without its numbers, brackets and commas alone, is compared with that of an array of the
model's shape. Each slice between two commas then becomes a text of its own: what is open at its
ends follows from the number of values before it.
"""

import re
from functools import lru_cache
from math import prod

import numpy as np
import simdjson
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.errors import InvalidInput
from service.formats.json.nesting import array_skeleton, without_values
from service.formats.json.parsing import is_oversized, numbers_in
from service.formats.row_format import RowFormat, Shape
from service.off_loop import SLICE_BYTES

_OPENING = re.compile(rb"[\[ \t\r\n]*+")
_LONG_DIGITS = re.compile(rb"[0-9]{19}[0-9.eE+-]*+")  # int64 holds every integer of 18 digits
_NUMBER = re.compile(rb"-?[0-9][0-9.eE+-]*+")
_MAX_NUMBER_BYTES = 2 * SLICE_BYTES


def read_sliced_numbers(
    body: bytes, first: int, last: int, row_format: RowFormat, first_row: int = 0
) -> FloatArray | None:
    """Read the rows between the brackets of a list.

    Args:
        body: UTF-8 JSON text.
        first: Position behind the opening bracket.
        last: Position of the closing bracket.
        row_format: What the rows should be.
        first_row: Number of the first of them in the request.

    Returns:
        Float32, shape (rows, *row shape), infinite where a number is beyond float32; None when the
        text is not a regular array of numbers in one of the format's forms.

    Raises:
        InvalidInput: A number is beyond float64.
        TooManyRows: More rows than the limit.
    """
    opening = _OPENING.match(body, first, last)
    axes = opening[0].count(b"[") if opening else 0
    form = next((form for form in row_format.forms if len(form) == axes), None)
    if form is None or body.find(b'"', first, last) >= 0:
        return None
    rows = _count_rows(body, first, last, form)
    if rows is None:
        return None
    row_format.check_row_count(rows)
    values = np.empty(rows * row_format.size, np.float32)
    try:
        if not _fill(values, body, first, last, form):
            return None
    except _InfiniteNumberError as error:
        row = first_row + error.position // row_format.size
        detail = f"row {row} has a value that is not finite as float32"
        raise InvalidInput.at(f"/{row_format.field}/{row}", detail) from error
    return values.reshape(rows, *row_format.shape)


def _count_rows(body: bytes, first: int, last: int, form: Shape) -> int | None:
    """Count the rows of a text whose brackets and commas are those of rows of a form."""
    row = _row_skeleton(form)
    length = 0
    for start in range(first, last, SLICE_BYTES):
        skeleton = without_values(body[start : min(start + SLICE_BYTES, last)])
        offset = length % len(row)
        expected = row * ((offset + len(skeleton)) // len(row) + 1)
        if not expected.startswith(skeleton, offset):
            return None
        length += len(skeleton)
    rows, rest = divmod(length + 1, len(row))  # no comma behind the last row
    return None if rest else rows


def _fill(values: FloatArray, body: bytes, first: int, last: int, form: Shape) -> bool:
    """Write the numbers of rows of a form into an array; return whether each has its number."""
    done = 0
    while first < last:
        cut = _next_cut(body, first, last)
        if cut - first > _MAX_NUMBER_BYTES:
            return False
        text = body[first:cut]
        end = done + text.count(b",") + 1
        opened, closed = (1 + _depth(count, form) for count in (done, end))
        try:
            numbers = _parse(b"[" * opened + text + b"]" * closed)
        except _InfiniteNumberError as error:
            raise _InfiniteNumberError(done + error.position) from error
        if numbers is None or len(numbers) != end - done:
            return False
        with np.errstate(over="ignore"):
            values[done:end] = numbers
        done = end
        first = cut + 1
    return done == len(values)


def _next_cut(body: bytes, first: int, last: int) -> int:
    """Return the position of a comma about a slice away, or of the end."""
    if last - first <= SLICE_BYTES:
        return last
    cut = body.rfind(b",", first, first + SLICE_BYTES)
    if cut < 0:
        cut = body.find(b",", first + SLICE_BYTES, last)
    return last if cut < 0 else cut


def _depth(values: int, form: Shape) -> int:
    """Return how many lists of a row are open behind so many values."""
    return sum(values % prod(form[axis:]) != 0 for axis in range(len(form)))


def _parse(text: bytes) -> NDArray[np.float64] | None:
    """Return the numbers of a list; None when it is not JSON, or holds something else.

    Raises:
        _InfiniteNumberError: A number is beyond float64.
    """
    for attempt in (_as_it_is, _with_points):
        try:
            return numbers_in(simdjson.Parser().parse(attempt(text)))
        except (ValueError, RuntimeError) as error:
            if not is_oversized(error):
                return None
    for position, number in enumerate(text.split(b",")):
        match = _NUMBER.search(number)
        if match and _is_infinite(match[0]):
            raise _InfiniteNumberError(position)
    return None


def _as_it_is(text: bytes) -> bytes:
    return text


def _with_points(text: bytes) -> bytes:
    """Write integers with a point: beyond int64 simdjson reads no others."""

    def add_point(match: re.Match[bytes]) -> bytes:
        before = text[max(0, match.start() - 2) : match.start()]
        inside = before.endswith((b".", b"e", b"E", b"+", b"e-", b"E-"))
        return match[0] + b".0" if match[0].isdigit() and not inside else match[0]

    return _LONG_DIGITS.sub(add_point, text)


def _is_infinite(number: bytes) -> bool:
    try:
        return np.isinf(float(number))
    except ValueError:
        return False


class _InfiniteNumberError(Exception):
    """A number of a text is beyond float64.

    Attributes:
        position: Number of values before it.
    """

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


@lru_cache(maxsize=16)
def _row_skeleton(form: Shape) -> bytes:
    return array_skeleton(form) + b","
