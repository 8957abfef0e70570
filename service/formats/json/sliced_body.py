"""A large JSON body, read slice by slice.

No call into C reads more than a slice, so other threads go on meanwhile, and no more of the body
than a slice is in Python objects at a time, but for the fields besides rows, which are limited.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sized
from typing import Any

from service.arrays import FloatArray
from service.errors import InvalidInput, MalformedBody
from service.formats.json.parsing import REPEATED_FIELD, parse_items, parse_object
from service.formats.json.sliced_numbers import read_sliced_numbers
from service.formats.json.structure import NOT_JSON, WHITE_SPACE, split_items
from service.formats.json_terms import pointer_to
from service.formats.row_format import RowFormat
from service.formats.row_lists import rows_from_blocks, rows_from_lists
from service.off_loop import SLICE_BYTES

MAX_FIELDS = 64
"""Fields of a body, and conditions of a request; no call and no model takes more."""
_MAX_VALUE_BYTES = 1024 * 1024  # of a row that is not a regular array, or of one value beside rows
_MAX_BYTES_PER_VALUE = 64  # brackets, spaces and digits of a value, in the most generous layout
_SPACE = re.compile(rb"[ \t\r\n]*+")
_NAME = re.compile(rb'[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*+:', re.DOTALL)

Span = tuple[int, int]


class SlicedBody:
    """What ``JsonBody`` is, for a body of any length; to be used on a thread of its own.

    Attributes:
        fields: Every field but the one that holds rows, as Python values; None for a field that is
            not among the options.
    """

    def __init__(
        self, body: bytes, rows_field: str | None, options: Collection[str], max_rows: int
    ) -> None:
        """Find the fields of a body, and read those that do not hold rows.

        Args:
            body: UTF-8 JSON text.
            rows_field: Name of the field that holds rows, if the call takes any.
            options: Names of the other fields; the values of unknown fields are not read.
            max_rows: Rows of one request at most; a list beside rows has no more values.

        Raises:
            MalformedBody: The text is not a JSON object, or repeats a field.
            InvalidInput: It has too many fields, or a field too many values.
        """
        self._body = body
        self._max_rows = max_rows
        self._rows_span: Span | None = None
        self.fields: dict[str, Any] = {}
        for name, span in self._members("", *_trimmed(body, 0, len(body))).items():
            if name == rows_field:
                self._rows_span = span
            else:
                self.fields[name] = self._read_option(name, *span) if name in options else None

    def rows(self, row_format: RowFormat) -> FloatArray:
        """Return the rows of the request; see ``JsonBody.rows``."""
        if self._rows_span is None:
            raise missing_rows(row_format.field)
        first, last = self._rows_span
        if not self._is_between(b"[]", first, last):
            return rows_from_lists(self._read_scalar(row_format.field, first, last), row_format)
        if not row_format.typed_columns:
            numbers = read_sliced_numbers(self._body, first + 1, last - 1, row_format)
            if numbers is not None:
                return row_format.cast(numbers)
        items = split_items(self._body, first + 1, last - 1, row_format.max_rows)
        row_format.check_row_count(items.count)
        return rows_from_blocks(self._row_blocks(items.spans, row_format), row_format, items.count)

    def _row_blocks(
        self, spans: list[Span], row_format: RowFormat
    ) -> Iterator[list[object] | FloatArray]:
        """Read rows, about a slice at a time: as numbers where there is nothing else."""
        number = 0
        for block in _blocks(spans):
            first, last = block[0][0], block[-1][1]
            numbers = None
            if not row_format.typed_columns:
                numbers = read_sliced_numbers(self._body, first, last, row_format, number)
            if numbers is None:
                if len(block) == 1:
                    self._check_row(number, first, last, row_format)
                numbers = parse_items(self._body[first:last], parse_int=float)
            _check_count(numbers, block)
            yield numbers
            number += len(block)

    def _check_row(self, number: int, first: int, last: int, row_format: RowFormat) -> None:
        """Reject a row of very many values before a Python object is made of each.

        Raises:
            InvalidInput: It has too many, or is too long to be read without slices.
        """
        if last - first > _MAX_BYTES_PER_VALUE * row_format.size:
            first, last = _trimmed(self._body, first, last)
            values = split_items(self._body, first + 1, last - 1, 0).values
            if values > row_format.size:
                detail = f"row {number} has too many values; {row_format.expected}"
                raise InvalidInput.at(f"/{row_format.field}/{number}", detail)
        if last - first > _MAX_VALUE_BYTES:
            detail = f"row {number} is not an array of numbers; {row_format.expected}"
            raise InvalidInput.at(f"/{row_format.field}/{number}", detail)

    def _members(self, name: str, first: int, last: int) -> Mapping[str, Span]:
        """Find the values in an object, by their names.

        Args:
            name: Of the field that the object is; empty for the whole body.
            first: Position of its opening bracket.
            last: Position behind its closing bracket.
        """
        body = self._body
        if not self._is_between(b"{}", first, last):
            parse_object(body[first : first + 1] + body[last - 1 : last])  # a list, or a string
            raise MalformedBody(NOT_JSON)
        items = split_items(body, first + 1, last - 1, MAX_FIELDS)
        if items.count > MAX_FIELDS:
            raise too_many_fields(name, items.count)
        members: dict[str, Span] = {}
        for start, end in items.spans:
            match = _NAME.match(body, start, end)
            if match is None:
                raise MalformedBody(NOT_JSON)
            (member,) = parse_object(b"{%b:0}" % match[1])
            if member in members:
                raise MalformedBody(REPEATED_FIELD)
            members[member] = _trimmed(body, match.end(), end)
        return members

    def _read_option(self, name: str, first: int, last: int) -> object:
        """Read a field beside rows: a value, a list of values, or an object of these."""
        if self._is_between(b"{}", first, last):
            members = self._members(name, first, last)
            return {member: self._read_values(name, *span) for member, span in members.items()}
        return self._read_values(name, first, last)

    def _read_values(self, name: str, first: int, last: int) -> object:
        if not self._is_between(b"[]", first, last):
            return self._read_scalar(name, first, last)
        items = split_items(self._body, first + 1, last - 1, self._max_rows)
        if items.values > self._max_rows:
            raise too_many_values(name, items.values, self._max_rows)
        values: list[object] = []
        for block in _blocks(items.spans):
            items_of_block = self._parse(name, block[0][0], block[-1][1])
            _check_count(items_of_block, block)
            values += items_of_block
        return values

    def _read_scalar(self, name: str, first: int, last: int) -> object:
        values = self._parse(name, first, last)
        _check_count(values, [(first, last)])
        return values[0]

    def _parse(self, name: str, first: int, last: int) -> list[object]:
        if last - first > _MAX_VALUE_BYTES:
            detail = (
                f"{name} has a value of {last - first} bytes; at most {_MAX_VALUE_BYTES} are read"
            )
            raise InvalidInput.at(pointer_to(name), detail)
        return parse_items(self._body[first:last])

    def _is_between(self, brackets: bytes, first: int, last: int) -> bool:
        """Whether a value begins and ends with a pair of brackets."""
        ends = self._body[first : first + 1] + self._body[last - 1 : last]
        return last - first > 1 and ends == brackets


def missing_rows(field: str) -> InvalidInput:
    """Return the error for a body without the field that holds rows."""
    detail = f"the body has no field {field}; a list of rows is expected"
    return InvalidInput.at(f"/{field}", detail)


def too_many_values(name: str, values: int, max_rows: int) -> InvalidInput:
    """Return the error for a list with more values than a request can have rows."""
    detail = f"{name} has {values} values; a request has at most {max_rows} rows"
    return InvalidInput.at(pointer_to(name), detail)


def too_many_fields(name: str, count: int) -> InvalidInput:
    """Return the error for an object of very many fields."""
    subject = name or "the body"
    detail = f"{subject} has {count} fields; at most {MAX_FIELDS} are read"
    return InvalidInput.at(pointer_to(name) if name else "", detail)


def _trimmed(body: bytes, first: int, last: int) -> Span:
    """Leave out white space at both ends."""
    space = _SPACE.match(body, first, last)
    first = space.end() if space else first
    return first, first + len(body[first:last].rstrip(WHITE_SPACE))


def _check_count(items: Sized, spans: list[Span]) -> None:
    """Check that there was something in each span: between two commas may be nothing.

    Raises:
        MalformedBody: There are more or fewer items.
    """
    if len(items) != len(spans):
        raise MalformedBody(NOT_JSON)


def _blocks(spans: list[Span]) -> Iterator[list[Span]]:
    """Join neighboring spans up to the length of a slice."""
    block: list[Span] = []
    for span in spans:
        if block and span[1] - block[0][0] > SLICE_BYTES:
            yield block
            block = []
        block.append(span)
    if block:
        yield block
