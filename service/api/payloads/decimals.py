"""Numbers of a fixed number of decimals, written by table as one matrix of bytes.

The shortest text that gives a float32 back takes longer to find than most models take to run.
With the decimals fixed, all numbers of an array are equally wide: where each one lies in the text
follows from the array's shape, and its digits are looked up a few at a time.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.inference.session import FloatArray

_WIDTHS = (1, 2, 4)  # of a sign and the digits before the point: widths of NumPy's integers
_GROUPS = ((), (1,), (2,), (2, 1), (4,), (4, 1), (4, 2), (4, 2, 1), (4, 4))
_BLOCK_VALUES = 16_384  # what is computed on the way stays in the processor's cache
_LARGEST_INT32 = 2**31 - 1

Shape = tuple[int, ...]


def write_decimals(values: FloatArray, decimals: int) -> NDArray[np.uint8] | None:
    """Write an array as nested JSON lists of numbers that all have the same decimals.

    Each number is the nearest one of so many decimals: within half a unit of the last of them,
    and of two that are equally near the even one. Zero has no sign. A number narrower than the
    widest of its array is led by spaces.

    Args:
        values: At least one axis, no axis empty.
        decimals: From 0 to 8; with 0 the numbers have no point.

    Returns:
        The text's bytes; None when a number is not finite, or takes more than four characters
        before its point: not between -999 and 9999, once rounded.
    """
    layout = _layout_for(values, decimals)
    if layout is None:
        return None
    text = layout.skeletons(len(values))
    position = layout.width + (decimals > 0) + decimals
    places: list[NDArray[Any]] = []
    for digits in layout.groups:
        position -= digits
        places.append(layout.places(text, position, digits))
    places.append(layout.places(text, 0, layout.width))
    block_rows = max(1, _BLOCK_VALUES * len(values) // values.size)
    for first in range(0, len(values), block_rows):
        block = slice(first, first + block_rows)
        _write_block(values[block], layout, [place[block] for place in places])
    return text


@dataclass(frozen=True)
class _Layout:
    """Where the numbers of an array lie in its text.

    Attributes:
        row_shape: Shape of the array without its first axis.
        decimals: Digits after the point.
        width: Characters before the point.
        signed: Whether any number is negative.
        largest: Largest magnitude, in units of the last decimal.
    """

    row_shape: Shape
    decimals: int
    width: int
    signed: bool
    largest: int

    @property
    def groups(self) -> tuple[int, ...]:
        """How many decimals are looked up at once, the last ones first."""
        return _GROUPS[self.decimals]

    def skeletons(self, rows: int) -> NDArray[np.uint8]:
        """Return a text that lacks nothing but digits."""
        row = _row_skeleton(self.row_shape, self.width, self.decimals)
        text = np.empty(1 + rows * len(row), np.uint8)
        text[0] = ord("[")
        text[1:].reshape(rows, len(row))[...] = row
        text[-1] = ord("]")  # where the comma after the last row would be
        return text

    def places(self, text: NDArray[np.uint8], position: int, size: int) -> NDArray[Any]:
        """Return the places of one group of characters of all numbers, shaped like the array."""
        row_length, strides = _strides(self.row_shape, self.width, self.decimals)
        shape = ((len(text) - 1) // row_length, *self.row_shape)
        return np.ndarray(
            shape, f"u{size}", text.data, len(shape) + position, (row_length, *strides)
        )


def _layout_for(values: FloatArray, decimals: int) -> _Layout | None:
    unit = 10**decimals
    least, most = (np.rint(np.float64(end) * unit) for end in (values.min(), values.max()))
    signed = bool(least < 0)
    for width in _WIDTHS:
        limit = unit * 10 ** (width - signed)
        if width > signed and -limit < least and most < limit:
            return _Layout(values.shape[1:], decimals, width, signed, int(max(-least, most)))
    return None


def _write_block(values: FloatArray, layout: _Layout, places: list[NDArray[Any]]) -> None:
    # Exact: a float32 has 24 significant bits, and ten to the eighth power 19.
    scaled = np.multiply(values, 10.0**layout.decimals, dtype=np.float64)
    np.rint(scaled, out=scaled)
    negative = scaled < 0 if layout.signed else None
    magnitudes = np.abs(scaled, out=scaled) if layout.signed else scaled
    units: NDArray[Any]
    if layout.largest <= _LARGEST_INT32:
        units = magnitudes.astype(np.int32).view(np.uint32)  # NumPy divides it five times as fast
    else:
        units = magnitudes.astype(np.int64)
    for digits, place in zip(layout.groups, places, strict=False):
        rest = units // 10**digits
        units -= rest * 10**digits
        place[...] = _digit_texts(digits).take(units)
        units = rest
    if negative is not None:
        units += negative * units.dtype.type(10 ** (layout.width - 1))
    places[-1][...] = _head_texts(layout.width, layout.signed).take(units)


@cache
def _digit_texts(digits: int) -> NDArray[Any]:
    """Return all numbers of so many digits, each as an integer with the bytes of its text."""
    return _characters(digits).view(f"u{digits}")[:, 0]


@cache
def _head_texts(width: int, signed: bool) -> NDArray[Any]:
    """Return what may stand before the point: from 0 upwards, then from -0 downwards."""
    digits = _characters(width - signed)
    leading = np.cumsum(digits != ord("0"), axis=1) == 0
    leading[:, -1] = False
    digits[leading] = ord(" ")
    if not signed:
        return digits.view(f"u{width}")[:, 0]
    texts = np.full((2, len(digits), width), ord(" "), np.uint8)
    texts[..., 1:] = digits
    texts[1, np.arange(len(digits)), leading.sum(axis=1)] = ord("-")
    return texts.reshape(-1, width).view(f"u{width}")[:, 0]


def _characters(digits: int) -> NDArray[np.uint8]:
    """Return the digits of all numbers of so many, one number a row."""
    places = np.indices((10,) * digits, np.uint8).reshape(digits, -1)
    return np.ascontiguousarray(places.T) + np.uint8(ord("0"))


@lru_cache(maxsize=64)
def _row_skeleton(shape: Shape, width: int, decimals: int) -> NDArray[np.uint8]:
    text = b" " * width + b"." * (decimals > 0) + b"0" * decimals
    for length in reversed(shape):
        text = b"[" + b",".join([text] * length) + b"]"
    return np.frombuffer(text + b",", np.uint8)


@lru_cache(maxsize=64)
def _strides(shape: Shape, width: int, decimals: int) -> tuple[int, Shape]:
    """Return the bytes of a row with its comma, and the bytes from item to item on its axes."""
    length = width + (decimals > 0) + decimals
    strides: list[int] = []
    for items in reversed(shape):
        strides.append(length + 1)  # an item and the comma or bracket after it
        length = items * (length + 1) + 1
    return length + 1, tuple(reversed(strides))
