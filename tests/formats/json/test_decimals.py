"""Numbers of fixed decimals are valid JSON, rounded correctly, and in the array's shape."""

import json
import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.api.dialects.native.schemas import MAX_DECIMALS
from service.formats.json.decimals import write_decimals
from service.formats.json.writing import write_json

decimal_counts = st.integers(0, MAX_DECIMALS)
shapes = hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)


def arrays(largest: float) -> st.SearchStrategy[np.ndarray]:
    bound = float(np.float32(largest))
    numbers = st.floats(-bound, bound, width=32) | st.floats(0, 1, width=32)
    return hnp.arrays(np.float32, shapes, elements=numbers)


def read(text: object) -> Any:
    """Parse JSON as any other reader would, but keep every digit."""
    return json.loads(bytes(text), parse_float=Decimal, parse_int=Decimal)  # pyright: ignore[reportArgumentType]  # an array's bytes


def leaves(value: Any) -> list[Decimal]:
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


@given(values=arrays(998), decimals=decimal_counts)
@example(values=np.array([-0.0], np.float32), decimals=4)
@example(values=np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32), decimals=0)
@example(values=np.array([0.03125, 0.09375, -0.03125], np.float32), decimals=4)
@example(values=np.array([9.99999, 0.1], np.float32), decimals=2)
@example(values=np.array([-1e-9, 1], np.float32), decimals=8)
def test_every_number_is_the_nearest_of_its_decimals(values: np.ndarray, decimals: int) -> None:
    text = write_decimals(values, decimals)

    assert text is not None
    found = read(text)
    assert np.shape(found) == values.shape
    unit = Decimal(1).scaleb(-decimals)
    for number, value in zip(leaves(found), values.ravel().tolist(), strict=True):
        assert abs(number - Decimal(value)) <= unit / 2
        assert number == Decimal(value).quantize(unit, ROUND_HALF_EVEN)
        assert -number.as_tuple().exponent == decimals  # pyright: ignore[reportOperatorIssue]  # finite
        assert not (number.is_signed() and number == 0)


@given(values=arrays(3e38), decimals=decimal_counts)
def test_an_array_is_rounded_or_where_numbers_are_too_wide_exact(
    values: np.ndarray, decimals: int
) -> None:
    written = write_json({"model": "a", "rows": values, "seed": 3}, decimals)

    answer = json.loads(bytes(written), parse_float=Decimal, parse_int=Decimal)
    assert list(answer) == ["model", "rows", "seed"]
    assert np.shape(answer["rows"]) == values.shape
    bound = Decimal(1).scaleb(-decimals) / 2
    for number, value in zip(leaves(answer["rows"]), values.ravel(), strict=True):
        near = abs(number - Decimal(float(value))) <= bound
        assert near or np.float32(number) == value


@pytest.mark.parametrize(
    ("values", "decimals", "text"),
    [
        ([0.0, 1.0, 0.25], 2, "[0.00,1.00,0.25]"),
        ([-0.0, -0.001, -0.009], 2, "[ 0.00, 0.00,-0.01]"),
        ([-1.0, 12.5], 1, "[  -1.0,  12.5]"),
        ([1.0, 12.5], 1, "[ 1.0,12.5]"),
        ([9999.4, 0.0], 0, "[9999,   0]"),
        ([-999.4, 0.0], 0, "[-999,   0]"),
        ([0.999999], 4, "[1.0000]"),
        ([9.99999], 4, "[10.0000]"),
        ([0.12345678], 8, "[0.12345678]"),
    ],
)
def test_numbers_are_written_as_wide_as_the_widest(
    values: list[float], decimals: int, text: str
) -> None:
    written = write_decimals(np.array(values, np.float32), decimals)

    assert written is not None
    assert bytes(written).decode() == text


@pytest.mark.parametrize("values", [[9999.6], [-999.6], [1e38, 0], [np.nan], [np.inf], [-np.inf]])
def test_numbers_of_more_than_four_characters_before_the_point_are_not_written(
    values: list[float],
) -> None:
    assert write_decimals(np.array(values, np.float32), 0) is None


def test_only_the_array_whose_numbers_are_too_wide_is_written_exactly() -> None:
    small, large = np.array([[0.123456]], np.float32), np.array([[123456.789]], np.float32)

    written = write_json({"small": small, "large": large}, 2)

    assert written == b'{"small":[[0.12]],"large":[[123456.79]]}'
    assert np.float32(123456.79) == large[0, 0]  # the shortest text of that very number


def test_what_is_not_a_float32_array_is_written_exactly() -> None:
    p_values = np.array([1 / 3])

    written = write_json({"p_values": p_values, "threshold": 0.123456, "warnings": None}, 1)

    assert json.loads(bytes(written)) == {
        "p_values": p_values.tolist(),
        "threshold": 0.123456,
        "warnings": None,
    }


def test_the_blocks_of_a_large_array_make_one_text() -> None:
    values = np.random.default_rng(5).standard_normal((70, 28, 28, 1), dtype=np.float32)

    text = write_decimals(values, 4)

    assert text is not None
    assert re.fullmatch(rb"[\[\], 0-9.-]+", bytes(text))
    np.testing.assert_array_equal(json.loads(bytes(text)), np.round(values.astype(float), 4))


def test_a_text_of_pixels_is_two_thirds_of_the_exact_one() -> None:
    pixels = np.random.default_rng(5).random((64, 784), dtype=np.float32)

    exact, rounded = write_json({"rows": pixels}), write_json({"rows": pixels}, 4)

    assert len(rounded) < 0.67 * len(exact)
    assert len(write_json({"rows": pixels}, 2)) < 0.5 * len(exact)
