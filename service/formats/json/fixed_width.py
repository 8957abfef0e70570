"""Nested lists of numbers that all have the same number of characters.

The position of each number then follows from the shape of the array alone, and NumPy writes the
same few characters of all numbers at once, from a table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK_VALUES = 16_384  # intermediate arrays then stay in the processor's cache

Shape = tuple[int, ...]


@dataclass(frozen=True)
class FixedWidthText:
    """The JSON text of an array, into which its numbers are written.

    Attributes:
        shape: Shape of the array: at least one axis, each of length 1 or more.
        width: Number of characters in a number.
        characters: Bytes of the text.
    """

    shape: Shape
    width: int
    characters: NDArray[np.uint8]

    @classmethod
    def around(cls, number: bytes, shape: Shape) -> "FixedWidthText":
        """Write an array's brackets and commas, with the same text for every number.

        Example:
            >>> bytes(FixedWidthText.around(b"0.0", (2, 1)).characters)
            b'[[0.0],[0.0]]'
        """
        row = _row_text(number, shape[1:])
        characters = np.empty(1 + shape[0] * len(row), np.uint8)
        characters[0] = ord("[")
        characters[1:].reshape(shape[0], len(row))[...] = row
        characters[-1] = ord("]")  # where the comma after the last row would be
        return cls(shape, len(number), characters)

    def places(self, position: int, size: int) -> NDArray[Any]:
        """Return a view of the same group of characters in all numbers.

        Args:
            position: Position of the group in a number.
            size: Number of characters in the group: 1, 2, 4 or 8.

        Returns:
            Unsigned integers in the text's memory, shaped like the array: what is written to them
            is written to the text.
        """
        strides = _strides(self.width, self.shape[1:])
        return np.ndarray(
            self.shape, f"u{size}", self.characters.data, len(self.shape) + position, strides
        )

    def blocks(self) -> Iterator[slice]:
        """Return the slices of the first axis that are written one after another."""
        rows = max(1, _BLOCK_VALUES // prod(self.shape[1:]))
        return (slice(first, first + rows) for first in range(0, self.shape[0], rows))


@cache
def digit_texts(digits: int) -> NDArray[Any]:
    """Return the texts of all numbers with so many digits, each as an integer of its bytes.

    Example:
        >>> digit_texts(2)[7].tobytes()
        b'07'
    """
    return digit_characters(digits).view(f"u{digits}")[:, 0]


def digit_characters(digits: int) -> NDArray[np.uint8]:
    """Return the digits of all numbers with so many digits, shape (10**digits, digits)."""
    places = np.indices((10,) * digits, np.uint8).reshape(digits, -1)
    return np.ascontiguousarray(places.T) + np.uint8(ord("0"))


@lru_cache(maxsize=64)
def _row_text(number: bytes, shape: Shape) -> NDArray[np.uint8]:
    text = number
    for length in reversed(shape):
        text = b"[" + b",".join([text] * length) + b"]"
    return np.frombuffer(text + b",", np.uint8)


@lru_cache(maxsize=64)
def _strides(width: int, row_shape: Shape) -> Shape:
    """Return the number of bytes from one item to the next on every axis, the first axis first."""
    length = width
    strides: list[int] = []
    for items in reversed(row_shape):
        strides.append(length + 1)  # an item and the comma or bracket after it
        length = items * (length + 1) + 1
    return length + 1, *reversed(strides)
