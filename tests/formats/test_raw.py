"""Bare float32 numbers to rows and back."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput, MalformedBody, RequestError, TooManyRows
from service.formats.raw import read_raw, shape_value, write_raw
from service.formats.row_format import RowFormat
from tests.formats.formats import CODES, GRAY, MAX_ROWS, PEOPLE, TABLE, formats, rows_of

SCORES = np.array([(0.5, 0.25, True), (1.5, 1.0, False)], "<f4,<f8,?")


@given(st.data())
def test_rows_are_their_bytes(data: st.DataObject) -> None:
    row_format = data.draw(formats)
    rows = data.draw(rows_of(row_format))

    found = read_raw(rows.astype("<f4").tobytes(), row_format)

    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, rows, strict=True)


@pytest.mark.skipif(sys.byteorder == "big", reason="big-endian machines must swap bytes")
def test_a_body_is_not_copied() -> None:
    body = np.ones((3, *GRAY.shape), "<f4").tobytes()

    found = read_raw(body, GRAY)

    assert np.shares_memory(found, np.frombuffer(body, np.uint8))


@given(body=st.binary(max_size=200), row_format=formats | st.just(PEOPLE))
def test_whatever_bytes_are_sent_they_are_finite_rows_or_rejected(
    body: bytes, row_format: RowFormat
) -> None:
    try:
        rows = read_raw(body, row_format)
    except RequestError:
        return

    assert rows.shape[1:] == row_format.shape
    assert rows.astype("<f4").tobytes() == body
    assert np.isfinite(rows).all() or row_format is PEOPLE


@pytest.mark.parametrize(("length", "left_over", "rows"), [(15, 15, 0), (33, 1, 2)])
def test_bytes_left_over_after_the_last_row_are_rejected_with_the_counts(
    length: int, left_over: int, rows: int
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_raw(bytes(length), TABLE)

    assert str(caught.value) == (
        f"the body has {length} bytes, which is {left_over} more than {rows} rows;"
        " model table takes 16 bytes a row (4 float32)"
    )
    assert [error.pointer for error in caught.value.field_errors] == ["/inputs"]


def test_bytes_left_over_after_codes_are_an_error_of_the_field_codes() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_raw(bytes(9), CODES)

    assert [error.pointer for error in caught.value.field_errors] == ["/codes"]


def test_an_empty_body_is_malformed() -> None:
    with pytest.raises(MalformedBody, match="the body is empty; float32 numbers are expected"):
        read_raw(b"", TABLE)


def test_one_row_more_than_the_limit_is_too_many() -> None:
    assert len(read_raw(bytes(16 * MAX_ROWS), TABLE)) == MAX_ROWS
    with pytest.raises(TooManyRows, match=f"the request has {MAX_ROWS + 1} rows; the limit is"):
        read_raw(bytes(16 * (MAX_ROWS + 1)), TABLE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_named(value: float) -> None:
    rows = np.zeros((3, 4), "<f4")
    rows[1, 2] = value

    with pytest.raises(InvalidInput, match="row 1 has a value that is not finite"):
        read_raw(rows.tobytes(), TABLE)


@pytest.mark.parametrize("value", [-0.001, 1.001])
def test_pixels_have_the_range_of_pixels(value: float) -> None:
    rows = np.zeros((2, *GRAY.shape), "<f4")
    rows[1, 0, 0, 0] = value

    with pytest.raises(InvalidInput, match=r"row 1 has a value outside \[0, 1\]"):
        read_raw(rows.tobytes(), GRAY)


@pytest.mark.parametrize("shape", [(2, 3), (1, 4, 2, 1), (200, 784)])
def test_arrays_are_written_in_row_major_order(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)

    assert bytes(write_raw(values)) == values.astype("<f4").tobytes()
    assert bytes(write_raw(np.asfortranarray(values))) == values.astype("<f4").tobytes()
    assert shape_value(values) == ",".join(map(str, shape)).encode()


@pytest.mark.skipif(sys.byteorder == "big", reason="big-endian machines must swap bytes")
def test_only_a_small_array_is_copied_so_that_its_batch_can_be_freed() -> None:
    batch = np.zeros((256, 784), np.float32)

    assert np.shares_memory(np.frombuffer(write_raw(batch), "<f4"), batch)
    assert not np.shares_memory(np.frombuffer(write_raw(batch[:1]), "<f4"), batch)


def test_scores_become_three_numbers_a_row() -> None:
    written = np.frombuffer(write_raw(SCORES), "<f4").reshape(2, 3)

    np.testing.assert_array_equal(written, [[0.5, 0.25, 1], [1.5, 1, 0]])
    assert shape_value(SCORES) == b"2,3"
