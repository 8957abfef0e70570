"""How deep and how regularly the lists of a JSON text are nested, told without reading its values.

simdjson gives all numbers of a list as one buffer, but flattens nesting on the way. That nothing
was lost is proven in one of two ways. Where lists are long, all of those that should be there are
visited and their lengths compared; no other list can be there when the text opens no more of
them. Where lists are short the text itself is looked at: with strings and scalars deleted, what
is left is its skeleton of brackets and commas, and there is exactly one right skeleton.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from math import prod
from operator import mul
from typing import Any, cast

import numpy as np
import simdjson

from service.formats.row_format import Shape

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_SKELETON = bytes(set(range(256)) - set(b"[]{},:"))
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BRACKET, _QUOTE = b'["'
_VISITED_LIST_BYTES = 64  # a list from bracket to bracket: shorter ones take longer to visit
_SEARCHED_LIST_BYTES = 1024  # a search then skips more than it costs


@lru_cache(maxsize=1024)
def lists_in(shape: Shape) -> int:
    """Return how many lists an array of a shape is written as."""
    return sum(accumulate(shape[:-1], mul, initial=1))


def have_lengths(rows: simdjson.Array, shape: Shape) -> bool:
    """Whether lists of nothing but lists and numbers have the lengths of a shape.

    Args:
        rows: As many as the shape says.
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
    """Whether a field of a JSON object is written as nested lists of a shape.

    Args:
        body: The object, valid JSON.
        fields: Its fields in order: the one in question as simdjson has it, and known to hold
            lists and numbers alone, the others as Python values.
        name: Of the field in question.
        shape: At least one axis. An empty list is taken for one of one value.
    """
    array = cast("simdjson.Array", fields[name])
    lists = lists_in(shape)
    if len(body) >= _VISITED_LIST_BYTES * lists:
        if not have_lengths(array, shape):
            return False
        if not _opens_more_lists(body, lists):
            return True
    expected = [
        b":" + (_array_skeleton(shape) if field == name else _skeleton(value))
        for field, value in fields.items()
    ]
    text = body if _has_no_texts(body, fields) else _STRINGS.sub(b"", body)
    return text.translate(None, _NOT_SKELETON) == b"{" + b",".join(expected) + b"}"


def _opens_more_lists(body: bytes, lists: int) -> bool:
    """Whether a body has more opening brackets than it is known to have at least."""
    if len(body) < _SEARCHED_LIST_BYTES * lists:
        brackets = np.frombuffer(body, np.uint8) == _BRACKET
        return int(np.count_nonzero(brackets)) > lists
    place = -1
    for _ in range(lists):
        place = body.index(b"[", place + 1)
    return body.find(b"[", place + 1) >= 0


def _has_no_texts(body: bytes, fields: Mapping[str, object]) -> bool:
    """Whether a body's only strings are its fields' names, and those hold no brackets."""
    quotes = np.count_nonzero(np.frombuffer(body, np.uint8) == _QUOTE)
    return quotes == 2 * len(fields) and all(map(str.isidentifier, fields))


def _array_skeleton(shape: Shape) -> bytes:
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
    """Return the lengths of a list, of its first item, and so on."""
    shape: list[int] = []
    while isinstance(value, simdjson.Array):
        shape.append(len(value))
        value = value[0] if len(value) else None
    return tuple(shape)


def exceeds(value: object, shape: Shape) -> bool:
    """Whether a value holds more values than an array of a shape, or is nested more deeply."""
    if not isinstance(value, simdjson.Array):
        return isinstance(value, simdjson.Object)
    if not shape or len(value) > prod(shape):
        return True
    return any(exceeds(item, shape[1:]) for item in value)


def depth(body: bytes) -> int:
    """Return how many lists and objects a text is within at most."""
    brackets = np.frombuffer(_STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS), np.uint8)
    opening = (brackets == ord("[")) | (brackets == ord("{"))
    return int(np.cumsum(np.where(opening, 1, -1)).max(initial=0))
