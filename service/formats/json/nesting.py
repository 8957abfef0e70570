"""The nesting of lists in a JSON text, without reading its values.

simdjson returns all numbers of nested lists as one buffer, without their nesting. That they are a
regular array is checked in one of two ways:

- long lists: every list that the array should have is visited and its length compared, and the
  text must not open more lists than that;
- short lists, whose visits would take longer: strings and scalars are deleted from the text, and
  the skeleton of brackets and commas that is left must be that of the array.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from operator import mul
from typing import Any, cast

import numpy as np
import simdjson

from service.formats.row_format import Shape

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_SKELETON = bytes(set(range(256)) - set(b"[]{},:"))
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BRACKET, _QUOTE = b'["'
_VISITED_LIST_BYTES = 64  # from bracket to bracket: shorter lists take longer to visit
_SEARCHED_LIST_BYTES = 1024  # from here on searching for brackets is faster than counting


@lru_cache(maxsize=1024)
def lists_in(shape: Shape) -> int:
    """Return how many lists an array of a shape is written as.

    Example:
        >>> lists_in((2, 3))  # [[1, 2, 3], [4, 5, 6]]
        3
    """
    return sum(accumulate(shape[:-1], mul, initial=1))


def have_lengths(rows: simdjson.Array, shape: Shape) -> bool:
    """Whether nested lists have the lengths of a shape.

    Args:
        rows: Lists and numbers only; as many rows as the shape has.
        shape: At least one axis.
    """
    if len(shape) == 1:
        return True
    lists: list[Any] = list(rows)
    try:
        for length in shape[1:-1]:
            if set(map(len, lists)) != {length}:
                return False
            lists = [item for values in lists for item in values]
        return set(map(len, lists)) == {shape[-1]}
    except TypeError:  # a number
        return False


def is_array(body: bytes, fields: Mapping[str, object], name: str, shape: Shape) -> bool:
    """Whether a field of a JSON object is written as the nested lists of an array.

    Args:
        body: The object, valid JSON.
        fields: Its fields in order: the one to check as simdjson's array, which must hold lists
            and numbers only, the others as Python values.
        name: Name of the field to check.
        shape: The array's shape, at least one axis. An empty list passes for a list of one value;
            the number of values has to be checked by the caller.
    """
    array = cast("simdjson.Array", fields[name])
    lists = lists_in(shape)
    if len(body) >= _VISITED_LIST_BYTES * lists:
        if not have_lengths(array, shape):
            return False
        if not _opens_more_lists(body, lists):
            return True
    expected = [
        b":" + (array_skeleton(shape) if field == name else _skeleton(value))
        for field, value in fields.items()
    ]
    text = body if _has_no_texts(body, fields) else _STRINGS.sub(b"", body)
    return without_values(text) == b"{" + b",".join(expected) + b"}"


def _opens_more_lists(body: bytes, lists: int) -> bool:
    """Whether a body has more opening brackets than the given number, which it has at least."""
    if len(body) < _SEARCHED_LIST_BYTES * lists:
        brackets = np.frombuffer(body, np.uint8) == _BRACKET
        return int(np.count_nonzero(brackets)) > lists
    place = -1
    for _ in range(lists):
        place = body.index(b"[", place + 1)
    return body.find(b"[", place + 1) >= 0


def _has_no_texts(body: bytes, fields: Mapping[str, object]) -> bool:
    """Whether the names of fields are the only strings of a body, and without brackets."""
    quotes = np.count_nonzero(np.frombuffer(body, np.uint8) == _QUOTE)
    return quotes == 2 * len(fields) and all(map(str.isidentifier, fields))


def without_values(text: bytes) -> bytes:
    """Return brackets, commas and colons of a text; those within strings too."""
    return text.translate(None, _NOT_SKELETON)


def array_skeleton(shape: Shape) -> bytes:
    """Return the brackets and commas of an array of a shape.

    Example:
        >>> array_skeleton((2, 3))
        b'[[,,],[,,]]'
    """
    skeleton = b""
    for length in reversed(shape):
        skeleton = b"[" + b",".join([skeleton] * length) + b"]"
    return skeleton


def _skeleton(value: object) -> bytes:
    if isinstance(value, list):
        return b"[" + b",".join(map(_skeleton, cast("list[object]", value))) + b"]"
    if isinstance(value, dict):
        values = cast("dict[str, object]", value).values()
        return b"{" + b",".join(b":" + _skeleton(item) for item in values) + b"}"
    return b""


def shape_of(value: object) -> Shape:
    """Return the length of a list, of its first item, of the first item of that, and so on."""
    shape: list[int] = []
    while isinstance(value, simdjson.Array):
        shape.append(len(value))
        value = value[0] if len(value) else None
    return tuple(shape)


def depth(body: bytes) -> int:
    """Return the maximum nesting of lists and objects.

    Example:
        >>> depth(b'{"a": [[1], {}]}')
        3
    """
    brackets = np.frombuffer(_STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS), np.uint8)
    opening = (brackets == ord("[")) | (brackets == ord("{"))
    return int(np.cumsum(np.where(opening, 1, -1)).max(initial=0))
