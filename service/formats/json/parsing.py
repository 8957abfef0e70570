"""A JSON text as a simdjson document, or the reason why it is not a JSON object."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import simdjson
from numpy.typing import NDArray

from service.errors import MalformedBody
from service.formats.json.nesting import depth
from service.formats.json.structure import NOT_JSON
from service.formats.json_terms import json_type

REPEATED_FIELD = "the body contains a field twice"
_NOT_FINITE = "NaN and Infinity are not JSON; every value must be a finite number"
_NESTED_TOO_DEEPLY = "the body is nested too deeply"
# The literals first: no other regular expression is as fast to search for.
_NON_FINITE_LITERAL = re.compile(rb"(?:NaN(?<=[\s:,\[-]NaN)|Infinity(?<=[\s:,\[-]Infinity))\b")
# simdjson's messages for numbers that are valid JSON but beyond int64 or float64.
_OVERSIZED_NUMBER = re.compile(r"NUMBER_ERROR|BIGINT_ERROR")
_MAX_DIGITS = 400  # more than any float64 has before its decimal point
# The depth at which Python's parser stops depends on its version; some have no limit.
_MAX_NESTING = 500


class OversizedNumberError(Exception):
    """A number is beyond int64 or float64, which simdjson does not read."""


def parse_object(body: bytes, max_oversized_bytes: float = math.inf) -> Mapping[str, Any]:
    """Parse a JSON object without converting its values.

    Args:
        body: UTF-8 JSON text.
        max_oversized_bytes: Bytes of a body with an oversized number that is read all the same.

    Returns:
        A ``simdjson.Object``, which may repeat a field; a dict when the body has a number beyond
        int64 or float64, which simdjson does not read.

    Raises:
        MalformedBody: The text is not a JSON object.
        OversizedNumberError: A larger body has a number beyond int64 or float64.
    """
    if not body:
        raise MalformedBody("the body is empty; a JSON object is expected")
    try:
        document = _parse(body)
    except OversizedNumberError:
        if len(body) > max_oversized_bytes:
            raise
        document = _parse_oversized_numbers(body)
    if not isinstance(document, (simdjson.Object, dict)):
        kind = "a list" if isinstance(document, simdjson.Array) else json_type(document)
        raise MalformedBody(f"the body is {kind}; a JSON object is expected")
    return cast("Mapping[str, Any]", document)


def _parse(body: bytes) -> object:
    try:
        return simdjson.Parser().parse(body)
    except UnicodeDecodeError as error:
        raise MalformedBody("the body is not UTF-8") from error
    except (ValueError, RuntimeError) as error:
        if is_oversized(error):
            raise OversizedNumberError from error
        raise MalformedBody(_explain(body, str(error))) from error


def is_oversized(error: Exception) -> bool:
    """Whether simdjson did not read a text because of a number beyond int64 or float64."""
    return _OVERSIZED_NUMBER.match(str(error)) is not None


def _explain(body: bytes, reason: str) -> str:
    if _NON_FINITE_LITERAL.search(body):
        return _NOT_FINITE
    if "DEPTH_ERROR" in reason:
        return _NESTED_TOO_DEEPLY
    return NOT_JSON


def parse_items(text: bytes, parse_int: Callable[[str], float] | None = None) -> list[object]:
    """Parse the items of a list into Python's lists, dicts, strings and numbers.

    Example:
        >>> parse_items(b'1, ["a"]')
        [1, ['a']]

    Args:
        text: UTF-8 JSON text between the brackets of the list.
        parse_int: What becomes of integers where one of them is beyond int64; by default they stay
            integers.

    Raises:
        MalformedBody: The text is not JSON, or an object in it repeats a field.
    """
    body = b"[%b]" % text
    try:
        document = _parse(body)
    except OversizedNumberError:
        document = _parse_oversized_numbers(body, parse_int or _read_integer)
    return cast("list[object]", plain_value(document))


def _read_integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _parse_oversized_numbers(
    body: bytes, parse_int: Callable[[str], float] = _read_integer
) -> object:
    """Parse with Python's parser, which has no largest integer and reads 1e999 as infinity."""

    def reject_repeated_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise MalformedBody(REPEATED_FIELD)
        return fields

    def reject_constant(_: str) -> object:
        raise MalformedBody(_NOT_FINITE)

    if depth(body) > _MAX_NESTING:
        raise MalformedBody(_NESTED_TOO_DEEPLY)
    try:
        document: object = json.loads(
            body,
            object_pairs_hook=reject_repeated_fields,
            parse_constant=reject_constant,
            parse_int=parse_int,
        )
        if b"\\u" in body:  # Python's parser alone accepts half of a surrogate pair as text
            json.dumps(document, ensure_ascii=False).encode()
    except RecursionError as error:
        raise MalformedBody(_NESTED_TOO_DEEPLY) from error
    except ValueError as error:
        raise MalformedBody(NOT_JSON) from error
    return document


def plain_value(value: object) -> object:
    """Convert a value of a document into Python's lists, dicts, strings and numbers.

    Raises:
        MalformedBody: An object in it repeats a field.
    """
    if isinstance(value, simdjson.Array):
        return cast("Any", value).as_list()  # its stub leaves nested lists untyped
    if isinstance(value, simdjson.Object):
        fields = value.as_dict()
        if len(fields) != len(value):
            raise MalformedBody(REPEATED_FIELD)
        return fields
    return value


def numbers_in(value: object) -> NDArray[np.float64] | None:
    """Return all numbers of nested lists in order; None when there is anything but numbers."""
    if not isinstance(value, simdjson.Array):
        return None
    try:
        return np.frombuffer(value.as_buffer(of_type="d"))
    except TypeError:
        return None
