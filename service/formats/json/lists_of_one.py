"""JSON text whose innermost lists hold one number each, read as if they were not there.

Images of one channel and series of one value come as ``[[[0.1], [0.2]], ...]`` from programs that
write arrays as they are. simdjson takes half as long again over such a text as over the numbers
alone, and longer than that to tell whether each list is where it should be.
"""

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_STARTS_WITH_LIST_OF_ONE = re.compile(rb"[^\[]*+\[[\[\s]*\[-?[0-9][^\[\],]*+\]")
_BLOCK_BYTES = 128 * 1024  # what is computed on the way stays in the processor's cache
_SPACE, _OPENING, _CLOSING, _MINUS, _NINE = b" []-9"


class Unwrapped(NamedTuple):
    """A text with spaces where innermost lists opened and closed.

    Attributes:
        text: The text.
        lists_of_one: How many lists were taken away.
        lists: How many are left.
    """

    text: memoryview
    lists_of_one: int
    lists: int


def unwrap(body: bytes) -> Unwrapped | None:
    """Take the brackets away that stand directly before or behind a number.

    When the result is JSON, and ``lists_of_one`` is also how many numbers its lists hold, then
    the body is the same JSON with each of those numbers in a list of its own. For every bracket
    taken away was followed by the first character of one of the numbers, or led by the last one
    of one: a space is beside it now. There are as many as numbers, and no two brackets share
    one. Nothing else than lists lies between the first and the last bracket, as nothing there is
    in quotes: neither text nor another field.

    Returns:
        None for a text that is of another kind, as its first number already shows.
    """
    if not _STARTS_WITH_LIST_OF_ONE.match(body):
        return None
    if body.find(b'"', body.find(b"["), body.rfind(b"]")) >= 0:
        return None
    text = np.frombuffer(bytearray(body), np.uint8)
    opened = closed = lists = 0
    for first in range(0, len(text), _BLOCK_BYTES):
        # One byte more than a block: a bracket and its number may lie in two.
        block = text[first : first + _BLOCK_BYTES + 1]
        opening = block[:-1] == _OPENING
        lists += int(np.count_nonzero(opening))
        is_number = (block - _MINUS) <= _NINE - _MINUS
        opened += _blank(block[:-1], opening & is_number[1:], _OPENING)
        closed += _blank(block[1:], (block[1:] == _CLOSING) & is_number[:-1], _CLOSING)
    return Unwrapped(text.data, opened, lists - opened) if opened == closed else None


def _blank(text: NDArray[np.uint8], places: NDArray[np.bool_], character: int) -> int:
    """Put spaces in the places of a character; return how many."""
    text -= places.view(np.uint8) * np.uint8(character - _SPACE)
    return int(np.count_nonzero(places))
