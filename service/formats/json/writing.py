"""The JSON body of a response: arrays become text without a Python object per number."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from service.formats.json.decimals import write_decimals
from service.formats.json.scientific import write_scientific
from service.off_loop import require_thread

# Values of an array. For fewer, the NumPy calls of a table take longer than orjson.
_MIN_VALUES_FOR_TABLE = 4096
# Values of an array whose lists hold one number each. To write the numbers first and their brackets
# later takes 1.5 times as long for 36 values, as long for 100, and 0.7 times as long from 256 on.
_MIN_VALUES_FOR_LATER_BRACKETS = 128
# Values of an array. More are written on a thread: so many take 2 to 4 ms from a table, and up to
# 15 ms where orjson writes them.
_MAX_INLINE_VALUES = 131_072
_BYTES_PER_VALUE = 16
# Values that one call of orjson writes, which keeps the interpreter's lock: 5 ms.
_SLICE_VALUES = 65_536
# Bytes of a response. Joining so many takes a millisecond; more are copied without the lock.
_MAX_JOINED_BYTES = 4 * 1024 * 1024

_Text = bytes | memoryview


def write_json(fields: Mapping[str, Any], decimals: int | None = None) -> bytes | memoryview:
    """Write the fields of a response as a JSON object.

    Example:
        >>> write_json({"model": "plane", "codes": np.array([[0.25, -1]], np.float32)}, decimals=1)
        b'{"model":"plane","codes":[[ 0.2,-1.0]]}'

    Args:
        fields: By name: arrays, or what JSON has a type for.
        decimals: Decimals that float32 arrays are rounded to. Without it, and for an array with a
            number that ``write_decimals`` cannot write, each number is a text that reads back as
            the same float32: the shortest one, or in large arrays the one that is fastest to write.

    Raises:
        CostlyWork: It has to be written on a thread, and this is an event loop's.
    """
    if decimals is None and not any(map(_needs_own_writer, fields.values())):
        return _text(fields)
    pieces: list[_Text] = []
    for name, value in fields.items():
        is_array = isinstance(value, np.ndarray)
        pieces += [b",", _text(name), b":"]
        pieces += (
            _array_texts(cast("NDArray[Any]", value), decimals) if is_array else [_text(value)]
        )
    pieces[0] = b"{"
    return _joined([*pieces, b"}"])


def _joined(pieces: list[_Text]) -> _Text:
    """Join pieces of a text; many bytes without the interpreter's lock."""
    length = sum(map(len, pieces))
    if length <= _MAX_JOINED_BYTES:
        return b"".join(pieces)
    characters = np.empty(length, np.uint8)
    last = 0
    for piece in pieces:
        first, last = last, last + len(piece)
        characters[first:last] = np.frombuffer(piece, np.uint8)
    return characters.data


def _needs_own_writer(value: object) -> bool:
    if not isinstance(value, np.ndarray):
        return False
    array = cast("NDArray[Any]", value)
    return not array.flags.c_contiguous or _is_large(array) or _holds_lists_of_one(array)


def _is_large(array: NDArray[Any]) -> bool:
    return array.dtype == np.float32 and array.size >= _MIN_VALUES_FOR_TABLE


def _holds_lists_of_one(array: NDArray[Any]) -> bool:
    is_large_enough = array.size >= _MIN_VALUES_FOR_LATER_BRACKETS
    return is_large_enough and array.ndim > 1 and array.shape[-1] == 1


def _array_texts(array: NDArray[Any], decimals: int | None) -> list[_Text]:
    if array.size > _MAX_INLINE_VALUES:
        require_thread(array.size * _BYTES_PER_VALUE)
    if decimals is not None and array.dtype == np.float32:
        rounded = write_decimals(array, decimals)
        if rounded is not None:
            return [rounded.data]
    if _is_large(array):
        exact = write_scientific(array)
        if exact is not None:
            return [exact.data]
    return _shortest_texts(array)


def _shortest_texts(array: NDArray[Any]) -> list[_Text]:
    if array.size > _SLICE_VALUES and array.ndim > 1:
        return _texts_of_slices(array)
    if _holds_lists_of_one(array):
        # orjson takes longer over lists of one number each than over the numbers. The brackets are
        # added afterwards: a comma of the text without them, whether between numbers or between
        # lists, is "],[" in the text with them.
        numbers = _text(np.ascontiguousarray(array[..., 0]))
        return [b"[%b]" % numbers.replace(b",", b"],[")]
    return [_text(np.ascontiguousarray(array))]


def _texts_of_slices(array: NDArray[Any]) -> list[_Text]:
    """Write a large array some rows at a time."""
    rows = max(1, _SLICE_VALUES * len(array) // array.size)
    texts: list[_Text] = []
    for first in range(0, len(array), rows):
        block = array[first : first + rows]
        texts.append(b"," if first else b"[")
        if len(block) == 1:
            texts += _shortest_texts(block[0])
        else:
            texts += [memoryview(text)[1:-1] for text in _shortest_texts(block)]
    return [*texts, b"]"]


def _text(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
