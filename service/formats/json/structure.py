"""Where the items of a long JSON list or object are, found without parsing them.

simdjson parses a text as a whole: 32 MB take up to a second, during which no other thread runs, and
eight times their memory. A text that is first cut at its own commas can be parsed piece by piece.
Every byte between two cuts still has to be parsed: here only brackets and quotes are looked at.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import MalformedBody

NOT_JSON = "the body is not valid JSON"
WHITE_SPACE = b" \t\r\n"
_BLOCK_BYTES = 128 * 1024  # intermediate arrays then stay in the processor's cache
_QUOTE, _COMMA, _BACKSLASH = b'",\\'
_DEPTH_CHANGES = np.zeros(256, np.int8)
_DEPTH_CHANGES[list(b"[{")] = 1
_DEPTH_CHANGES[list(b"]}")] = -1
_IS_STRUCTURE = _DEPTH_CHANGES != 0
_IS_STRUCTURE[_COMMA] = True


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a list, or the members of an object.

    Attributes:
        count: How many there are.
        spans: First and last position of each, the latter excluded; of no more than were asked for.
        values: How many values there are, those inside of items included.
    """

    count: int
    spans: list[tuple[int, int]]
    values: int


def split_items(body: bytes, first: int, last: int, max_items: int) -> Items:
    """Find the items between the brackets of a list or an object.

    Example:
        >>> body = b'[1, [2, 3]]'
        >>> split_items(body, 1, len(body) - 1, max_items=10)
        Items(count=2, spans=[(1, 2), (3, 10)], values=3)

    Args:
        body: UTF-8 JSON text.
        first: Position behind the opening bracket.
        last: Position of the closing bracket.
        max_items: How many spans to keep.

    Raises:
        MalformedBody: The brackets or quotes do not pair.
    """
    scan = _Scan()
    count = 1
    cuts: list[int] = []
    for start in range(first, last, _BLOCK_BYTES):
        block = np.frombuffer(body, np.uint8, min(_BLOCK_BYTES, last - start), start)
        commas = scan.commas(block)
        count += len(commas)
        if len(cuts) < max_items:
            cuts += (commas[: max_items - len(cuts)] + start).tolist()
    if scan.depth or scan.in_string:
        raise MalformedBody(NOT_JSON)
    if count == 1 and not body[first:last].strip(WHITE_SPACE):
        return Items(0, [], 0)
    spans = zip([first, *[cut + 1 for cut in cuts]], [*cuts, last], strict=True)
    return Items(count, list(spans)[: min(count, max_items)], scan.all_commas + 1)


class _Scan:
    """What is known of a text up to a position.

    Attributes:
        depth: Lists and objects that are open.
        in_string: Whether a string is open.
        all_commas: Commas outside of strings.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.in_string = False
        self.all_commas = 0
        self._backslashes = 0

    def commas(self, block: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Read the next block; return the positions of commas that are in no list or object.

        Raises:
            MalformedBody: A bracket closes what was not opened.
        """
        is_structure = _IS_STRUCTURE.take(block)
        quotes = block == _QUOTE
        if self.in_string or quotes.any():
            is_structure &= ~self._inside_strings(block, quotes)
        else:
            self._backslashes = 0
        places = np.flatnonzero(is_structure)
        if not len(places):
            return places
        characters = block[places]
        depths = np.cumsum(_DEPTH_CHANGES.take(characters), dtype=np.int32)
        depths += self.depth
        if int(depths.min()) < 0:
            raise MalformedBody(NOT_JSON)
        self.depth = int(depths[-1])
        is_comma = characters == _COMMA
        self.all_commas += int(np.count_nonzero(is_comma))
        is_comma &= depths == 0
        return places[is_comma]

    def _inside_strings(
        self, block: NDArray[np.uint8], quotes: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        backslashes = block == _BACKSLASH
        if self._backslashes or backslashes.any():
            quotes &= ~self._escaped(backslashes)
        inside = np.bitwise_xor.accumulate(quotes)
        inside ^= self.in_string
        self.in_string = bool(inside[-1])
        return inside

    def _escaped(self, backslashes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which characters follow an odd number of backslashes."""
        places = np.arange(len(backslashes), dtype=np.int32)
        before = np.maximum.accumulate(np.where(backslashes, np.int32(-1), places))
        runs = places - before  # lengths of the runs of backslashes that end here
        runs[before == -1] += self._backslashes
        escaped = np.empty_like(backslashes)
        escaped[0] = self._backslashes % 2
        escaped[1:] = runs[:-1] % 2
        self._backslashes = int(runs[-1])
        return escaped
