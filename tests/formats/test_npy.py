"""NumPy's files to rows and back."""

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.errors import InvalidInput, MalformedBody, RequestError, TooManyRows
from service.formats.npy import read_npy, write_npy
from service.formats.row_format import RowFormat
from tests.api.clients import npy_bytes
from tests.formats.formats import CODES, COLOR, GRAY, MAX_ROWS, TABLE, formats, rows_of

TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


def file_of(header: str | bytes, content: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """Write a file by hand, whatever its header says."""
    text = header.encode() if isinstance(header, str) else header
    length = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + text + content


def header_of(shape: str = "(1, 4)", descr: str = "'<f4'", fortran_order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran_order}, 'shape': {shape}}}"


@given(st.data())
def test_every_number_type_byte_order_memory_order_and_version_is_read(data: st.DataObject) -> None:
    row_format = data.draw(st.sampled_from((TABLE, CODES)))
    kind = data.draw(st.sampled_from(TYPES))
    dtype = np.dtype(data.draw(st.sampled_from("<>")) + kind)
    elements = (
        st.floats(-6e4, 6e4, width=16)
        if kind.startswith("f")
        else st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    )
    shape = (data.draw(st.integers(1, 5)), *row_format.shape)
    values = data.draw(hnp.arrays(dtype, shape, elements=elements))
    order = np.asfortranarray if data.draw(st.booleans()) else np.ascontiguousarray
    stream = BytesIO()
    np.lib.format.write_array(stream, order(values), data.draw(st.sampled_from([(1, 0), (2, 0)])))

    found = read_npy(stream.getvalue(), row_format)

    assert found.dtype == np.dtype("=f4")
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, values.astype(np.float32))


@given(st.data())
def test_rows_in_every_form_come_back_to_the_bit(data: st.DataObject) -> None:
    row_format = data.draw(formats)
    rows = data.draw(rows_of(row_format))
    form = data.draw(st.sampled_from(row_format.forms))

    found = read_npy(npy_bytes(rows.reshape(len(rows), *form)), row_format)

    np.testing.assert_array_equal(found, rows, strict=True)


def test_pixels_of_images_are_divided_by_255() -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(2, 2, 3, 3) * 7

    found = read_npy(npy_bytes(pixels), COLOR)

    np.testing.assert_array_equal(found, pixels.astype(np.float32) / np.float32(255))


def test_small_integers_of_tables_are_numbers_like_any_other() -> None:
    values = np.array([[0, 1, 128, 255]], np.uint8)

    np.testing.assert_array_equal(read_npy(npy_bytes(values), TABLE), values)


@pytest.mark.parametrize("length", range(70, 140))
def test_rows_are_aligned_wherever_they_begin_in_the_body(length: int) -> None:
    rows = np.array([[1, 2, 3, 4]], np.float32)
    body = file_of(header_of().ljust(length), rows.tobytes())

    found = read_npy(body, TABLE)

    assert found.flags.aligned
    np.testing.assert_array_equal(found, rows)


@given(body=st.binary(max_size=200))
def test_whatever_bytes_are_sent_only_a_request_error_is_raised(body: bytes) -> None:
    with pytest.raises(RequestError):
        read_npy(body, TABLE)


# Pieces of headers, joined in any order: most results are not headers, some are valid Python.
# fmt: off
HEADER_PIECES = (
    *("{", "}", "[", "]", "(", ")", "'", '"', "'''", ",", ":", "-", "\\", " ", "\n", "\0"),
    *("'descr'", "'fortran_order'", "'shape'", "'<f4'", "'|O'", "'|S0'", "(1, 4)", "True", "L"),
    *("0", "1", "9" * 25, "1e999", "[0] * 9", "lambda: 0", "\N{EURO SIGN}"),
)
# fmt: on
header_pieces = st.lists(st.sampled_from(HEADER_PIECES), max_size=12).map("".join)


@given(
    header=header_pieces,
    content=st.binary(max_size=32),
    version=st.sampled_from([(1, 0), (2, 0)]),
)
def test_whatever_a_header_says_only_a_request_error_is_raised(
    header: str, content: bytes, version: tuple[int, int]
) -> None:
    with pytest.raises(RequestError):
        read_npy(file_of(header, content, version), TABLE)


@given(
    shape=st.lists(
        st.integers(-2, 6) | st.sampled_from([2**31, 2**63, 10**15, 10**40]), max_size=40
    ),
    descr=st.sampled_from(
        ["<f4", ">f8", "|u1", "|b1", "<c8", "|S0", "|V0", "|S4", "<U2", "<M8[s]"]
    ),
    content=st.binary(max_size=96),
    row_format=formats,
)
def test_whatever_shape_and_type_are_stated_rows_are_read_or_rejected(
    shape: list[int], descr: str, content: bytes, row_format: RowFormat
) -> None:
    try:
        found = read_npy(file_of(header_of(str(tuple(shape)), repr(descr)), content), row_format)
    except RequestError:
        return
    assert found.shape[1:] == row_format.shape
    assert np.isfinite(found).all()


@given(st.data())
def test_a_truncated_file_is_rejected(data: st.DataObject) -> None:
    body = npy_bytes(data.draw(rows_of(GRAY)))
    kept = data.draw(st.integers(0, len(body) - 1))

    with pytest.raises(MalformedBody):
        read_npy(body[:kept], GRAY)
    with pytest.raises(MalformedBody):
        read_npy(body + b"\0", GRAY)


class _Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def test_pickled_objects_are_rejected_and_never_loaded(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    body = npy_bytes(np.array([[_Trap(sprung)] * 4], object), allow_pickle=True)

    np.load(BytesIO(body), allow_pickle=True)
    assert sprung.exists()  # the trap works
    sprung.unlink()
    with pytest.raises(MalformedBody, match="Python objects, which are never loaded"):
        read_npy(body, TABLE)
    with pytest.raises(MalformedBody, match=r"not a \.npy file"):
        read_npy(pickle.dumps(_Trap(sprung)), TABLE)
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        (np.array([[True] * 4]), "the array has type bool; floats or integers are expected"),
        (np.array([[1j] * 4]), "the array has type complex128; floats or integers are expected"),
        (np.array([["a"] * 4]), "the array has type str32; floats or integers are expected"),
        (
            np.zeros((1, 4), [("secret", "<f4")]),
            "the array has type void32; floats or integers are expected",
        ),
        (np.zeros(4), "the array has shape (4,); model table takes (rows, 4)"),
        (np.zeros(()), "the array has shape (); model table takes (rows, 4)"),
        (np.zeros((2, 3)), "the array has shape (2, 3); model table takes (rows, 4)"),
        (np.zeros((0, 4)), "inputs has no rows; send at least one"),
    ],
)
def test_an_array_of_another_type_or_shape_is_rejected_with_what_is_expected(
    values: np.ndarray, detail: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_npy(npy_bytes(values), TABLE)

    assert str(caught.value) == detail
    assert [error.pointer for error in caught.value.field_errors] == ["/inputs"]


def test_the_error_lists_every_shape_that_a_model_takes() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_npy(npy_bytes(np.zeros((2, 2, 2))), GRAY)

    assert str(caught.value) == (
        "the array has shape (2, 2, 2); model image takes"
        " (rows, 3, 2, 1) or (rows, 3, 2) or (rows, 6)"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_as_float32_are_rejected(value: float) -> None:
    values = np.zeros((3, 4))
    values[1, 2] = value

    with pytest.raises(InvalidInput, match="row 1 has a value that is not finite") as caught:
        read_npy(npy_bytes(values), TABLE)

    assert [error.pointer for error in caught.value.field_errors] == ["/inputs/1"]


@pytest.mark.parametrize("value", [-0.1, 1.1, 255])
def test_pixels_outside_their_range_are_rejected(value: float) -> None:
    with pytest.raises(InvalidInput, match=r"row 0 has a value outside \[0, 1\]"):
        read_npy(npy_bytes(np.full((1, 6), value)), GRAY)


def test_one_row_more_than_the_limit_is_too_many() -> None:
    assert len(read_npy(npy_bytes(np.zeros((MAX_ROWS, 4))), TABLE)) == MAX_ROWS
    with pytest.raises(TooManyRows):
        read_npy(npy_bytes(np.zeros((MAX_ROWS + 1, 4))), TABLE)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is empty; a .npy file is expected"),
        (b"\x93NUMPY", "the body is not a .npy file of version 1.0 or 2.0"),
        (npy_bytes(np.zeros(4))[:20], "the body is not a .npy file of version 1.0 or 2.0"),
        (file_of("", version=(3, 0)), "the body is not a .npy file of version 1.0 or 2.0"),
        (file_of("{[]: 1}"), "the body is not a .npy file of version 1.0 or 2.0"),
        (file_of("{'a': 1, 2: 3}"), "the body is not a .npy file of version 1.0 or 2.0"),
        (file_of("((((("), "the body is not a .npy file of version 1.0 or 2.0"),
        (file_of("(" * 9_000), "the body is not a .npy file of version 1.0 or 2.0"),
        (file_of("-" * 9_000 + "1"), "the body is not a .npy file of version 1.0 or 2.0"),
        (
            file_of(header_of("(1_000_000_000_000_000, 4)")),
            "the .npy header states 16000000000000000 bytes of data; 0 follow it",
        ),
        (
            file_of(header_of("(1, 4)"), bytes(15)),
            "the .npy header states 16 bytes of data; 15 follow it",
        ),
        (
            file_of(header_of("(-1, -4)"), bytes(16)),
            "the .npy header states a shape that is not valid",
        ),
        (
            file_of(header_of(f"(0, {10**40})")),
            "the .npy header states a shape that is not valid",
        ),
        (
            file_of(header_of("(0,)*70")),
            "the body is not a .npy file of version 1.0 or 2.0",
        ),
    ],
)
def test_a_malformed_file_is_rejected_with_the_reason(body: bytes, detail: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        read_npy(body, TABLE)

    assert str(caught.value) == detail


@given(rows=rows_of(COLOR) | rows_of(TABLE))
def test_written_arrays_are_what_numpy_loads(rows: np.ndarray) -> None:
    loaded = np.load(BytesIO(write_npy(rows)), allow_pickle=False)

    np.testing.assert_array_equal(loaded, rows, strict=True)


@given(st.data())
def test_content_is_checked_against_a_cached_header_too(data: st.DataObject) -> None:
    rows = data.draw(rows_of(TABLE))
    whole = npy_bytes(rows)

    for _ in range(2):
        np.testing.assert_array_equal(read_npy(whole, TABLE), rows)
        with pytest.raises(MalformedBody, match="bytes of data"):
            read_npy(whole[:-1], TABLE)
        with pytest.raises(MalformedBody, match="bytes of data"):
            read_npy(whole + b"0", TABLE)


@pytest.mark.parametrize("padding", [10, 700])
def test_headers_of_any_length_are_read(padding: int) -> None:
    values = np.array([[1, 2, 3, 4]], "<f4")
    body = file_of(header_of() + " " * padding + "\n", values.tobytes())

    np.testing.assert_array_equal(read_npy(body, TABLE), values)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "?", "<f4,<f8,?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_is_written_as_numpy_writes_it(dtype: str, order: Literal["C", "F"]) -> None:
    values = np.zeros((3, 2), dtype, order=order)

    written = np.load(BytesIO(write_npy(values)))

    np.testing.assert_array_equal(written, values, strict=True)
    assert write_npy(values) == npy_bytes(np.ascontiguousarray(values))
