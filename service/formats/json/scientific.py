"""Arrays as JSON text of nine digits and an exponent, which reads back to the same float32.

To find the shortest such text takes longer than many models take to run, but nine digits are always
enough. With nine digits all numbers of an array can be equally wide, and their digits come from a
table. Equally wide numbers are also faster to read: a reader's branches are the same for each.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.formats.json.fixed_width import FixedWidthText, digit_texts

_DECIMALS = 8
_SIGNIFICAND_BITS = 23
_MIN_NORMAL, _INFINITY = 1 << 24, 255 << 24  # a float32's bits without its sign's
_HEADS = np.frombuffer(b" 0 1 2 3-0-1-2-3", "u2")
_MAX_RELATIVE_LENGTH = 1.4  # times the shortest text
_SAMPLED_VALUES = 256


class _Form(NamedTuple):
    """What all numbers of an array have in common.

    Attributes:
        signed: Whether any of them is negative.
        exponent_width: Number of characters in the widest exponent, with its ``e``; 0 when no
            number has an exponent.
    """

    signed: bool
    exponent_width: int

    @property
    def number(self) -> bytes:
        """The text of a number before its digits and exponent are written."""
        return b" " * self.signed + b"0." + b"0" * _DECIMALS + b" " * self.exponent_width


def write_scientific(values: FloatArray) -> NDArray[np.uint8] | None:
    """Write an array as nested JSON lists of equally wide numbers that read back to the bit.

    A number is scaled by a power of ten that depends on its binary exponent alone, and rounded to
    an integer of at most nine digits. The power is the smallest for which neighboring float32
    numbers are more than one unit apart, so the integer is nearer to its own number than to any
    other. From 0.25 up to 2, and for zero, the digits need no exponent.

    Example:
        >>> bytes(write_scientific(np.array([0.1234567, 0.7654321], np.float32)))
        b'[1.23456702e-1,0.76543212   ]'

    Args:
        values: At least one axis, each of length 1 or more.

    Returns:
        The bytes of the text; None when a number is infinite, NaN or subnormal, or when the text
        would be more than 1.4 times as long as that of the shortest numbers.
    """
    form = _form_of(values)
    if form is None or _is_too_long(values, len(form.number)):
        return None
    text = FixedWidthText.around(form.number, values.shape)
    places = _places(text, form)
    for block in text.blocks():
        _write_block(values[block], form, [place[block] for place in places])
    return text.characters


def _form_of(values: FloatArray) -> _Form | None:
    magnitudes = values.view(np.uint32) << 1
    largest = int(magnitudes.max())
    magnitudes -= 1  # zeros wrap around to the maximum, so the minimum is that of the others
    smallest = (int(magnitudes.min()) + 1) % 2**32  # zero only when all are zero
    if largest >= _INFINITY or 0 < smallest < _MIN_NORMAL:
        return None
    exponents = [_exponents()[magnitude >> 24] for magnitude in (smallest, largest)]
    return _Form(bool(values.view(np.int32).min() < 0), max(map(len, exponents)))


def _is_too_long(values: FloatArray, width: int) -> bool:
    step = values.size // _SAMPLED_VALUES | 1  # odd: not the same columns of every row
    sample = values.reshape(-1)[::step].copy()
    shortest = len(orjson.dumps(sample, option=orjson.OPT_SERIALIZE_NUMPY)) / len(sample)
    brackets = 2 * (values.shape[-1] == 1)
    return width + 1 + brackets > _MAX_RELATIVE_LENGTH * (shortest + brackets)


def _places(text: FixedWidthText, form: _Form) -> list[NDArray[Any]]:
    """Return the places of exponents (if any), last digits, first digits, and signs with points.

    They are written in this order: an exponent is written as four characters even when it has
    fewer, and the digits written after it replace the superfluous ones.
    """
    point = 1 + form.signed
    places = [text.places(point + 5, 4), text.places(point + 1, 4), text.places(0, point)]
    return [text.places(text.width - 4, 4), *places] if form.exponent_width else places


def _write_block(values: FloatArray, form: _Form, places: list[NDArray[Any]]) -> None:
    bits = values.view(np.uint32)
    signs_and_exponents = (bits >> _SIGNIFICAND_BITS).astype(np.intp)
    scaled = _scales().take(signs_and_exponents)
    scaled *= values.astype(np.float64)  # faster than to cast and multiply in one call
    # Unsigned, because NumPy divides unsigned integers five times as fast.
    units = np.rint(scaled, out=scaled).astype(np.int32).view(np.uint32)
    if form.exponent_width:
        places[0][...] = _exponent_texts(form.exponent_width).take(signs_and_exponents)
    for place in places[-3:-1]:
        rest = units // 10_000
        units -= rest * np.uint32(10_000)
        place[...] = digit_texts(4).take(units)
        units = rest
    if form.signed:
        units += (bits >> 31) * np.uint32(4)
        places[-1][...] = _HEADS.take(units)
    else:
        units += ord("0")
        places[-1][...] = units


@cache
def _powers() -> NDArray[np.int64]:
    """Return the power of ten by which numbers of each biased binary exponent are scaled."""
    above = (_SIGNIFICAND_BITS + 1 + 127) - np.arange(256)
    powers = np.floor(above * np.log10(2)).astype(np.int64) + 1
    powers[0] = _DECIMALS  # for zero
    return powers


@cache
def _scales() -> NDArray[np.float64]:
    """Return the factors of numbers, by their sign and biased binary exponent."""
    scales = np.power(10.0, _powers(), dtype=np.float64)
    return np.concatenate([scales, -scales])


@cache
def _exponents() -> list[str]:
    """Return the texts after the digits, by biased binary exponent."""
    return [f"e{_DECIMALS - power}" * (power != _DECIMALS) for power in _powers().tolist()]


@cache
def _exponent_texts(width: int) -> NDArray[np.uint32]:
    """Return the texts after the digits as integers of their bytes, by sign and exponent.

    A text of fewer than four characters is padded with zeros on the left.
    """
    texts = [exponent.ljust(width).rjust(4, "0")[:4] for exponent in _exponents()]
    return np.frombuffer("".join(texts * 2).encode(), np.uint32)
