"""Numbers of long arrays, cut into slices of a few bytes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput, TooManyRows
from service.formats.json import sliced_numbers
from service.formats.json.sliced_numbers import read_sliced_numbers
from service.formats.row_format import RowFormat
from tests.formats.formats import CHANNELS, GRAY, MAX_ROWS, SERIES, TABLE, formats, rows_of
from tests.formats.json.bodies import in_form


def read(text: str, row_format: RowFormat, slice_bytes: int = 5) -> np.ndarray | None:
    body = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliced_numbers, "SLICE_BYTES", slice_bytes)
        patch.setattr(sliced_numbers, "_MAX_NUMBER_BYTES", 1000)
        return read_sliced_numbers(body, 1, len(body) - 1, row_format)


@given(st.data())
def test_wherever_rows_are_cut_their_numbers_come_back_to_the_bit(data: st.DataObject) -> None:
    row_format = data.draw(formats)
    rows = data.draw(rows_of(row_format))
    form = data.draw(st.sampled_from(row_format.forms))
    text = json.dumps(
        [in_form(row, form) for row in rows],
        separators=data.draw(st.sampled_from([(",", ":"), (" ,\n", ":"), (", ", ":")])),
        indent=data.draw(st.none() | st.integers(0, 2)),
    )

    found = read(text, row_format, data.draw(st.integers(1, 99)))

    np.testing.assert_array_equal(found, rows, strict=True)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("9223372036854775808", 2**63),
        ("18446744073709551616", 2**64),
        ("-9223372036854775809", -(2**63)),
        ("123456789012345678901234567890", 1.2345679e29),
        ("0.1234567890123456789012345", 0.12345679),
        ("0.0000000000000000000001e30", 1e8),
        ("1e+0000000000000000000000002", 100),
        ("1E-0000000000000000000000002", 0.01),
        ("-0", 0),
    ],
)
def test_a_number_keeps_its_value_beside_one_beyond_int64(number: str, value: float) -> None:
    found = read(f"[[{number}, {'9' * 30}, 2, 3]]", TABLE, slice_bytes=500)

    np.testing.assert_array_equal(found, np.array([[value, 1e30, 2, 3]], np.float32))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 310, "-" + "9" * 400, "9.9E308"])
def test_a_number_beyond_float64_is_an_error_of_its_row(number: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(f"[[1, 2, 3, 4], [5, 6, 7, 8], [9, {number}, 0, 0]]", TABLE)

    assert str(caught.value) == "row 2 has a value that is not finite as float32"
    assert caught.value.field_errors[0].pointer == "/inputs/2"


@pytest.mark.parametrize(
    ("text", "row_format"),
    [
        ("[]", TABLE),
        ("[1, 2, 3, 4]", TABLE),
        ("[[1, 2, 3]]", TABLE),
        ("[[1, 2, 3, 4], []]", TABLE),
        ("[[1, 2, 3, 4], [1, 2, 3, null]]", TABLE),
        ('[[1, 2, 3, 4], [1, 2, 3, "4"]]', TABLE),
        ("[[1, 2, 3, 4], [1, 2, 3, {}]]", TABLE),
        ("[[1, 2, 3, 4], [1, 2, 3, 04]]", TABLE),
        ("[[1, 2, 3, 4], [1, 2, 3, 4 5]]", TABLE),
        ("[[1, 2, 3, 4]  [1, 2, 3, 4]]", TABLE),
        ("[[1, 2, 3, 4], [1, 2, 3, 4],]", TABLE),
        ("[[1, 2, 3, 4], [1, 2, 3,  ]]", TABLE),
        ("[[[1], [2], [3], [4], []]]", SERIES),
        ("[[[1], [2], [3], [4], 5[]]]", SERIES),
        ("[[[1], [2], [3], [4, 5], []]]", SERIES),
        ("[[[1, 2], [3, 4, 5], [6]]]", CHANNELS),
        ("[[[[0]], [[0]], [[0]]]]", GRAY),
    ],
)
@pytest.mark.parametrize("slice_bytes", [1, 4, 1000])
def test_what_is_not_a_regular_array_of_numbers_is_left_to_the_slow_path(
    text: str, row_format: RowFormat, slice_bytes: int
) -> None:
    assert read(text, row_format, slice_bytes) is None


def test_rows_are_counted_before_a_number_is_read() -> None:
    rows = ", ".join(["[1, 2, 3, x]"] * (MAX_ROWS + 1))

    with pytest.raises(TooManyRows, match=f"the request has {MAX_ROWS + 1} rows"):
        read(f"[{rows}]", TABLE)


def test_a_number_longer_than_two_slices_is_left_to_the_slow_path() -> None:
    assert read(f"[[1, 2, 3, 0.{'1' * 2000}]]", TABLE) is None
