"""JSON bodies to arrays and fields."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import RequestError
from service.formats.json.body import JsonBody
from service.formats.row_format import RowFormat
from tests.formats.formats import MAX_ROWS, PEOPLE, TABLE, formats, json_values, rows_of
from tests.formats.json.bodies import OPTIONS, in_form, read


@given(st.data())
def test_rows_in_every_form_come_back_to_the_bit(data: st.DataObject) -> None:
    row_format = data.draw(formats)
    rows = data.draw(rows_of(row_format))
    form = data.draw(st.sampled_from(row_format.forms))

    found = read({row_format.field: [in_form(row, form) for row in rows]}, row_format)

    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, rows, strict=True)


@given(st.data())
def test_every_row_may_come_in_a_form_of_its_own(data: st.DataObject) -> None:
    row_format = data.draw(formats)
    rows = data.draw(rows_of(row_format))
    values = [in_form(row, data.draw(st.sampled_from(row_format.forms))) for row in rows]

    np.testing.assert_array_equal(read({row_format.field: values}, row_format), rows)


@given(value=json_values, row_format=formats)
def test_whatever_json_value_stands_for_rows_only_a_request_error_is_raised(
    value: object, row_format: RowFormat
) -> None:
    try:
        rows = read({row_format.field: value}, row_format)
    except RequestError:
        return
    assert rows.shape[1:] == row_format.shape
    assert np.isfinite(rows).all()


@given(value=json_values)
def test_whatever_json_value_stands_for_typed_rows_only_a_request_error_is_raised(
    value: object,
) -> None:
    try:
        rows = read({"inputs": value}, PEOPLE)
    except RequestError:
        return
    assert rows.shape[1:] == PEOPLE.shape


@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_bytes_stand_for_a_body_only_a_request_error_is_raised(body: bytes) -> None:
    with pytest.raises(RequestError):
        read(body, TABLE)


@given(st.data())
def test_a_body_with_one_byte_changed_is_read_or_rejected(data: st.DataObject) -> None:
    body = bytearray(json.dumps({"inputs": [[1.5, -2e3, 0, 4]], "ids": ["a\u20ac"]}).encode())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        rows = read(bytes(body), TABLE)
    except RequestError:
        return
    assert rows.shape == (1, 4)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("-0", 0.0),
        ("1E2", 100.0),
        ("1e-400", 0.0),
        ("0.1", np.float32(0.1)),
        ("9223372036854775807", np.float32(2**63)),
        ("18446744073709551615", np.float32(2**64)),
        ("18446744073709551616", np.float32(2**64)),
        ("-9223372036854775809", np.float32(-(2**63))),
        ("123456789012345678901234567890", np.float32(1.2345679e29)),
        ("340282346638528859811704183484516925440", np.finfo(np.float32).max),
        ("1" + "0" * 38, np.float32(1e38)),
    ],
)
def test_numbers_mean_the_nearest_float32_however_long_they_are(number: str, value: float) -> None:
    found = read(f'{{"inputs": [[{number}, 1, 2, 3]]}}', TABLE)

    np.testing.assert_array_equal(found, np.array([[value, 1, 2, 3]], np.float32))


def test_fields_besides_rows_are_plain_values_and_unknown_ones_are_not_converted() -> None:
    body = b"""{"ids": [1, "a"], "inputs": [], "conditions": {"a": [1.5, true]},
        "other": [1], "a\\u0000": 2}"""
    fields = JsonBody(body, "inputs", OPTIONS, MAX_ROWS).fields

    assert fields == {
        "ids": [1, "a"],
        "conditions": {"a": [1.5, True]},
        "other": None,
        "a\0": None,
    }
