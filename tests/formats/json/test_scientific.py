"""Numbers of nine digits are valid JSON, equally wide, and read back to the bit."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.formats.json import scientific
from service.formats.json import writing as json_writing
from service.formats.json.scientific import write_scientific
from service.formats.json.writing import write_json

NORMAL = np.finfo(np.float32).smallest_normal
GREATEST = np.finfo(np.float32).max

shapes = hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)
normal = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
RNG = np.random.default_rng(11)


def write(values: np.ndarray) -> bytes:
    """Write an array, however short its numbers' shortest texts are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scientific, "_MAX_RELATIVE_LENGTH", np.inf)
        text = write_scientific(values)
    assert text is not None
    return bytes(text)


def bits(values: Any) -> list[int]:
    return np.array(values, np.float32).view(np.uint32).ravel().tolist()


@given(values=hnp.arrays(np.float32, shapes, elements=normal))
@example(values=np.array([0.0, -0.0], np.float32))
@example(values=np.array([NORMAL, GREATEST, -NORMAL, -GREATEST], np.float32))
def test_every_number_reads_back_to_the_bit(values: np.ndarray) -> None:
    text = write(values)

    assert np.shape(json.loads(text)) == values.shape
    assert bits(json.loads(text)) == bits(values)
    assert bits(orjson.loads(text)) == bits(values)


def test_random_bits_read_back() -> None:
    values = RNG.integers(0, 2**32, 500_000, np.uint32).view(np.float32)
    values = values[np.isfinite(values) & (np.abs(values) >= NORMAL)]

    assert bits(orjson.loads(write(values))) == bits(values)


def test_numbers_beside_a_power_of_two_read_back() -> None:
    """Below it neighboring numbers are twice as close as above, and the scale is another."""
    powers = np.arange(1, 255, dtype=np.uint32) << 23
    beside = (powers[:, None] + np.arange(-40, 41).astype(np.uint32)).view(np.float32)
    values = beside[(np.abs(beside) >= NORMAL) & np.isfinite(beside)]

    assert bits(orjson.loads(write(np.concatenate([values, -values])))) == bits([values, -values])


def test_all_numbers_of_two_binary_exponents_read_back() -> None:
    """Those whose neighbors are the fewest, and nearly the most, units of the last digit apart."""
    for power in (-96, -3):
        first = int(np.float32(2.0**power).view(np.uint32))
        values = np.arange(first, first + 2**23, 7).astype(np.uint32).view(np.float32)
        assert bits(orjson.loads(write(values))) == bits(values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.0, 1.0, 0.25, 1.9999999], "[0.00000000,1.00000000,0.25000000,1.99999988]"),
        ([0.5, -0.0], "[ 0.50000000,-0.00000000]"),
        ([0.0, 0.0], "[0.00000000,0.00000000]"),
        ([1.0, 0.1], "[1.00000000   ,1.00000001e-1]"),
        ([1.0, 1e-9], "[1.00000000   ,0.99999997e-9]"),
        ([0.1, 1e-10], "[1.00000001e-1 ,1.00000001e-10]"),
        ([-1.0, 1e-3], "[-1.00000000   , 1.00000005e-3]"),
        ([1.0, 2.0], "[1.00000000  ,0.20000000e1]"),
        ([1.0, 3e38], "[1.00000000   ,0.30000000e39]"),
        ([0.1, 100.0], "[1.00000001e-1,1.00000000e2 ]"),
    ],
)
def test_numbers_have_exponents_where_they_need_them(values: list[float], text: str) -> None:
    assert write(np.array(values, np.float32)).decode() == text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, NORMAL / 2, -NORMAL / 2])
def test_numbers_that_nine_digits_cannot_represent_are_not_written(value: float) -> None:
    assert write_scientific(np.array([0.123456789, value], np.float32)) is None


def test_arrays_whose_shortest_texts_are_short_are_not_written() -> None:
    values = RNG.random(4096, np.float32)

    assert write_scientific(values) is not None
    assert write_scientific(np.rint(100 * values)) is None
    assert write_scientific(values * np.float32(1e-30)) is not None


@pytest.mark.parametrize("shape", [(64, 784), (6, 28, 28, 1), (4096,), (5000, 1)])
def test_large_arrays_read_back_and_are_at_most_42_percent_longer(
    shape: tuple[int, ...],
) -> None:
    values = RNG.random(shape, np.float32) ** 3

    written = write_json({"model": "a", "rows": values, "seed": 3})

    answer = orjson.loads(written)
    assert list(answer) == ["model", "rows", "seed"]
    assert np.shape(answer["rows"]) == shape
    assert bits(answer["rows"]) == bits(values)
    shortest = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    assert len(shortest) < len(written) < 1.42 * len(shortest)


def test_both_writers_write_the_same_numbers() -> None:
    """Strided, with a zero, a number too small for nine digits, and one that is not finite."""
    values = RNG.random((120, 200), np.float32)[::2, ::2]
    for odd in (0.0, -0.0, 1e-40, np.nan):
        values[3, 4] = odd
        large = write_json({"rows": values})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_writing, "_MIN_VALUES_FOR_TABLE", values.size + 1)
            small = write_json({"rows": values})
        assert bits(orjson.loads(large)["rows"]) == bits(orjson.loads(small)["rows"])
