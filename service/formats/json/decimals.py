"""Arrays as JSON text with a fixed number of decimals.

To find the shortest text of a float32 that reads back as the same number takes longer than many
models take to run. With a fixed number of decimals all numbers of an array are equally wide, and
their digits come from a table, up to four at a time.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.formats.json.fixed_width import FixedWidthText, digit_characters, digit_texts

_WIDTHS = (1, 2, 4)  # of the sign and the digits before the point: sizes of NumPy's integers
_GROUPS = ((), (1,), (2,), (2, 1), (4,), (4, 1), (4, 2), (4, 2, 1), (4, 4))
_MAX_INT32 = 2**31 - 1


def write_decimals(values: FloatArray, decimals: int) -> NDArray[np.uint8] | None:
    """Write an array as nested JSON lists of numbers that all have the same decimals.

    Each number is rounded to the nearest one with so many decimals, half to even. Zero has no sign.
    All numbers have as many characters before the point, 1, 2 or 4, as the widest one needs:
    spaces, a sign and digits.

    Example:
        >>> bytes(write_decimals(np.array([[0.25, -12.5]], np.float32), decimals=1))
        b'[[   0.2, -12.5]]'

    Args:
        values: At least one axis, each of length 1 or more.
        decimals: From 0 to 8; with 0 the numbers have no point.

    Returns:
        The bytes of the text; None when a number is not finite, or has more than four characters
        before its point: less than -999 or more than 9999 after rounding.
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
        max_units: Maximum magnitude, in units of the last decimal.
    """

    decimals: int
    width: int
    signed: bool
    max_units: int

    @property
    def number(self) -> bytes:
        """The text of a number before its digits are written."""
        return b" " * self.width + b"." * (self.decimals > 0) + b"0" * self.decimals

    @property
    def groups(self) -> tuple[int, ...]:
        """Numbers of decimals that are looked up at once, the last ones first."""
        return _GROUPS[self.decimals]


def _layout_for(values: FloatArray, decimals: int) -> _Layout | None:
    unit = 10**decimals
    lowest, highest = (np.rint(np.float64(end) * unit) for end in (values.min(), values.max()))
    signed = bool(lowest < 0)
    for width in _WIDTHS:
        limit = unit * 10 ** (width - signed)
        if width > signed and -limit < lowest and highest < limit:
            return _Layout(decimals, width, signed, int(max(-lowest, highest)))
    return None


def _write_block(values: FloatArray, layout: _Layout, places: list[NDArray[Any]]) -> None:
    # Exact: a float32 has 24 significant bits, and ten to the eighth power 19.
    scaled = values.astype(np.float64)  # faster than to cast and multiply in one call
    scaled *= 10.0**layout.decimals
    np.rint(scaled, out=scaled)
    negative = scaled < 0 if layout.signed else None
    magnitudes = np.abs(scaled, out=scaled) if layout.signed else scaled
    units: NDArray[Any]
    if layout.max_units <= _MAX_INT32:
        units = magnitudes.astype(np.int32).view(np.uint32)  # NumPy divides uint32 5x as fast
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
    """Return the texts before the point: of 0, 1, 2, …, then of -0, -1, -2, … if signed."""
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
