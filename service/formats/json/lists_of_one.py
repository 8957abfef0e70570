"""JSON text whose innermost lists hold one number each, without those lists.

Images of one channel and series of one value come as ``[[[0.1], [0.2]], ...]`` from programs that
write arrays as they are. simdjson takes half as long again for such a text as for the numbers
alone, and to check that every list is where it should be takes even longer.
"""

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_STARTS_WITH_LIST_OF_ONE = re.compile(rb"[^\[]*+\[[\[\s]*\[-?[0-9][^\[\],]*+\]")
_BLOCK_BYTES = 128 * 1024  # intermediate arrays then stay in the processor's cache
_SPACE, _OPENING, _CLOSING, _MINUS, _NINE = b" []-9"


class Unwrapped(NamedTuple):
    """A text with spaces in the place of brackets.

    Attributes:
        text: The text, as long as the original.
        lists_of_one: Number of lists that were removed.
        lists: Number of lists that are left.
    """

    text: memoryview
    lists_of_one: int
    lists: int


def unwrap(body: bytes) -> Unwrapped | None:
    """Replace each bracket that stands directly before or after a number by a space.

    If the result is valid JSON, and its lists hold exactly ``lists_of_one`` numbers, then the body
    is the same JSON with each of those numbers in a list of its own, because:

    - between the first and the last bracket there are no quotes, hence no texts and no other
      fields: all brackets are those of the rows;
    - a removed opening bracket is followed by the first character of a number, a removed closing
      one follows the last character of a number, and no two of them belong to the same end of the
      same number: a space separates it from what is before or after it;
    - there are as many removed opening and closing brackets as numbers, so every number had both.

    Example:
        >>> unwrapped = unwrap(b'{"inputs": [[[1], [2]]]}')
        >>> bytes(unwrapped.text), unwrapped.lists_of_one, unwrapped.lists
        (b'{"inputs": [[ 1 ,  2 ]]}', 2, 2)

    Returns:
        None when the first number is not in a list of its own, or when the brackets do not pair.
    """
    if not _STARTS_WITH_LIST_OF_ONE.match(body):
        return None
    if body.find(b'"', body.find(b"["), body.rfind(b"]")) >= 0:
        return None
    text = np.frombuffer(bytearray(body), np.uint8)
    opened = closed = lists = 0
    for first in range(0, len(text), _BLOCK_BYTES):
        # One byte more than a block: a bracket and its number may be in two blocks.
        block = text[first : first + _BLOCK_BYTES + 1]
        opening = block[:-1] == _OPENING
        lists += int(np.count_nonzero(opening))
        is_number = (block - _MINUS) <= _NINE - _MINUS
        opened += _blank(block[:-1], opening & is_number[1:], _OPENING)
        closed += _blank(block[1:], (block[1:] == _CLOSING) & is_number[:-1], _CLOSING)
    return Unwrapped(text.data, opened, lists - opened) if opened == closed else None


def _blank(text: NDArray[np.uint8], places: NDArray[np.bool_], character: int) -> int:
    """Replace a character by a space in the given places; return how many there were."""
    text -= places.view(np.uint8) * np.uint8(character - _SPACE)
    return int(np.count_nonzero(places))
