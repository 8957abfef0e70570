"""A JSON text as a simdjson document, or the reason why it is not a JSON object."""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import simdjson
from numpy.typing import NDArray

from service.errors import MalformedBody
from service.formats.json.nesting import depth
from service.formats.json_terms import json_type

REPEATED_FIELD = "the body contains a field twice"
_NOT_JSON = "the body is not valid JSON"
_NOT_FINITE = "NaN and Infinity are not JSON; every value must be a finite number"
_NESTED_TOO_DEEPLY = "the body is nested too deeply"
_NON_FINITE_LITERAL = re.compile(rb"[\s:,\[]-?(?:NaN|Infinity)\b")
# simdjson's messages for numbers that are valid JSON but beyond int64 or float64.
_OVERSIZED_NUMBER = re.compile(r"NUMBER_ERROR|BIGINT_ERROR")
_MAX_DIGITS = 400  # more than any float64 has before its decimal point
# The depth at which Python's parser stops depends on its version; some have no limit.
_MAX_NESTING = 500


def parse_object(body: bytes) -> Mapping[str, Any]:
    """Parse a JSON object without converting its values.

    Args:
        body: UTF-8 JSON text.

    Returns:
        A ``simdjson.Object``, which may repeat a field; a dict when the body has a number beyond
        int64 or float64, which simdjson does not read.

    Raises:
        MalformedBody: The text is not a JSON object.
    """
    if not body:
        raise MalformedBody("the body is empty; a JSON object is expected")
    try:
        document: object = simdjson.Parser().parse(body)
    except UnicodeDecodeError as error:
        raise MalformedBody("the body is not UTF-8") from error
    except (ValueError, RuntimeError) as error:
        if not _OVERSIZED_NUMBER.match(str(error)):
            raise MalformedBody(_explain(body, str(error))) from error
        document = _parse_oversized_numbers(body)
    if not isinstance(document, (simdjson.Object, dict)):
        kind = "a list" if isinstance(document, simdjson.Array) else json_type(document)
        raise MalformedBody(f"the body is {kind}; a JSON object is expected")
    return cast("Mapping[str, Any]", document)


def _explain(body: bytes, reason: str) -> str:
    if _NON_FINITE_LITERAL.search(body):
        return _NOT_FINITE
    if "DEPTH_ERROR" in reason:
        return _NESTED_TOO_DEEPLY
    return _NOT_JSON


def _parse_oversized_numbers(body: bytes) -> object:
    """Parse with Python's parser, which has no largest integer and reads 1e999 as infinity."""

    def read_integer(digits: str) -> int | float:
        return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)

    def reject_repeated_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise MalformedBody(REPEATED_FIELD)
        return dict(pairs)

    def reject_constant(_: str) -> object:
        raise MalformedBody(_NOT_FINITE)

    if depth(body) > _MAX_NESTING:
        raise MalformedBody(_NESTED_TOO_DEEPLY)
    try:
        document: object = json.loads(
            body,
            object_pairs_hook=reject_repeated_fields,
            parse_constant=reject_constant,
            parse_int=read_integer,
        )
        if b"\\u" in body:  # Python's parser alone accepts half of a surrogate pair as text
            json.dumps(document, ensure_ascii=False).encode()
    except RecursionError as error:
        raise MalformedBody(_NESTED_TOO_DEEPLY) from error
    except ValueError as error:
        raise MalformedBody(_NOT_JSON) from error
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
