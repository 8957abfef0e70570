"""Nested lists of numbers that all take the same number of characters.

Where each number lies in the text then follows from the array's shape alone, and the same few
characters of all numbers are written at once, looked up in a table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK_VALUES = 16_384  # what is computed on the way stays in the processor's cache

Shape = tuple[int, ...]


@dataclass(frozen=True)
class FixedWidthText:
    """The JSON text of an array whose numbers are still to be filled in.

    Attributes:
        shape: Shape of the array: at least one axis, no axis empty.
        width: Characters of a number.
        characters: The text's bytes.
    """

    shape: Shape
    width: int
    characters: NDArray[np.uint8]

    @classmethod
    def around(cls, number: bytes, shape: Shape) -> "FixedWidthText":
        """Write an array's brackets and commas, and the same text in the place of each number."""
        row = _row_text(number, shape[1:])
        characters = np.empty(1 + shape[0] * len(row), np.uint8)
        characters[0] = ord("[")
        characters[1:].reshape(shape[0], len(row))[...] = row
        characters[-1] = ord("]")  # where the comma after the last row would be
        return cls(shape, len(number), characters)

    def places(self, position: int, size: int) -> NDArray[Any]:
        """Return the places of one group of characters of all numbers.

        Args:
            position: Of the group in its number.
            size: Characters of the group, as many as one of NumPy's integers has bytes.

        Returns:
            Unsigned integers in the text's memory, shaped like the array.
        """
        strides = _strides(self.width, self.shape[1:])
        return np.ndarray(
            self.shape, f"u{size}", self.characters.data, len(self.shape) + position, strides
        )

    def blocks(self) -> Iterator[slice]:
        """Return parts of the first axis that are worked on one after another."""
        rows = max(1, _BLOCK_VALUES // prod(self.shape[1:]))
        return (slice(first, first + rows) for first in range(0, self.shape[0], rows))


@cache
def digit_texts(digits: int) -> NDArray[Any]:
    """Return all numbers of so many digits, each as an integer with the bytes of its text."""
    return digit_characters(digits).view(f"u{digits}")[:, 0]


def digit_characters(digits: int) -> NDArray[np.uint8]:
    """Return the digits of all numbers of so many, one number a row."""
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
    """Return the bytes from item to item on every axis, the rows' own first."""
    length = width
    strides: list[int] = []
    for items in reversed(row_shape):
        strides.append(length + 1)  # an item and the comma or bracket after it
        length = items * (length + 1) + 1
    return length + 1, *reversed(strides)
