"""Numbers of a fixed number of decimals, written by table.

The shortest text that gives a float32 back takes longer to find than most models take to run.
With the decimals fixed, all numbers of an array are equally wide, and their digits are looked up
a few at a time.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.formats.json.fixed_width import FixedWidthText, digit_characters, digit_texts

_WIDTHS = (1, 2, 4)  # of a sign and the digits before the point: widths of NumPy's integers
_GROUPS = ((), (1,), (2,), (2, 1), (4,), (4, 1), (4, 2), (4, 2, 1), (4, 4))
_LARGEST_INT32 = 2**31 - 1


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
    text = FixedWidthText.around(layout.number, values.shape)
    position = text.width
    places: list[NDArray[Any]] = []
    for digits in layout.groups:
        position -= digits
        places.append(text.places(position, digits))
    places.append(text.places(0, layout.width))
    for block in text.blocks():
        _write_block(values[block], layout, [place[block] for place in places])
    return text.characters


@dataclass(frozen=True)
class _Layout:
    """What all numbers of an array have in common.

    Attributes:
        decimals: Digits after the point.
        width: Characters before the point.
        signed: Whether any number is negative.
        largest: Largest magnitude, in units of the last decimal.
    """

    decimals: int
    width: int
    signed: bool
    largest: int

    @property
    def number(self) -> bytes:
        """A number that lacks nothing but its digits."""
        return b" " * self.width + b"." * (self.decimals > 0) + b"0" * self.decimals

    @property
    def groups(self) -> tuple[int, ...]:
        """How many decimals are looked up at once, the last ones first."""
        return _GROUPS[self.decimals]


def _layout_for(values: FloatArray, decimals: int) -> _Layout | None:
    unit = 10**decimals
    least, most = (np.rint(np.float64(end) * unit) for end in (values.min(), values.max()))
    signed = bool(least < 0)
    for width in _WIDTHS:
        limit = unit * 10 ** (width - signed)
        if width > signed and -limit < least and most < limit:
            return _Layout(decimals, width, signed, int(max(-least, most)))
    return None


def _write_block(values: FloatArray, layout: _Layout, places: list[NDArray[Any]]) -> None:
    # Exact: a float32 has 24 significant bits, and ten to the eighth power 19.
    scaled = values.astype(np.float64)  # NumPy takes longer to cast and multiply at once
    scaled *= 10.0**layout.decimals
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
        place[...] = digit_texts(digits).take(units)
        units = rest
    if negative is not None:
        units += negative * units.dtype.type(10 ** (layout.width - 1))
    places[-1][...] = _head_texts(layout.width, layout.signed).take(units)


@cache
def _head_texts(width: int, signed: bool) -> NDArray[Any]:
    """Return what may stand before the point: from 0 upwards, then from -0 downwards."""
    digits = digit_characters(width - signed)
    leading = np.cumsum(digits != ord("0"), axis=1) == 0
    leading[:, -1] = False
    digits[leading] = ord(" ")
    if not signed:
        return digits.view(f"u{width}")[:, 0]
    texts = np.full((2, len(digits), width), ord(" "), np.uint8)
    texts[..., 1:] = digits
    texts[1, np.arange(len(digits)), leading.sum(axis=1)] = ord("-")
    return texts.reshape(-1, width).view(f"u{width}")[:, 0]
