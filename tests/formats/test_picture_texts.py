"""Pictures as base64 text in JSON rows."""

import base64
import json
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from service.errors import InvalidInput, TooManyRows
from service.formats.json.body import JsonBody
from tests.formats.formats import GRAY, MAX_ROWS, TABLE

PIXELS = np.array([[0, 51], [102, 153], [204, 255]], np.uint8)


def png_of(pixels: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def read(inputs: object, row_format: Any = GRAY) -> np.ndarray:
    return JsonBody(json.dumps({"inputs": inputs}).encode(), "inputs", (), MAX_ROWS).rows(
        row_format
    )


def standard(body: bytes) -> str:
    return base64.b64encode(body).decode()


def url_safe(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).decode()


WRITTEN: dict[str, Callable[[bytes], object]] = {
    "standard": standard,
    "without padding": lambda body: standard(body).rstrip("="),
    "URL-safe": url_safe,
    "URL-safe without padding": lambda body: url_safe(body).rstrip("="),
    "in lines": lambda body: base64.encodebytes(body).decode(),
    "data URL": lambda body: "data:image/png;base64," + standard(body),
    "data URL of another type": lambda body: "data:image/jpeg;base64," + standard(body),
    "data URL with parameters": lambda body: "data:image/png;name=a.png;base64," + standard(body),
    "data URL percent-encoded": lambda body: (
        "DATA:image/png;BASE64," + standard(body).replace("+", "%2B").replace("=", "%3D")
    ),
    "wrapped in an object": lambda body: {"b64": standard(body)},
}


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN.keys())
@given(pixels=hnp.arrays(np.uint8, (3, 2)))
def test_a_picture_is_read_however_its_text_is_written(
    write: Callable[[bytes], object], pixels: np.ndarray
) -> None:
    text = write(png_of(pixels))

    for inputs in (text, [text]):
        np.testing.assert_array_equal(
            read(inputs)[0, ..., 0], pixels.astype(np.float32) / np.float32(255)
        )


def test_every_text_is_a_row() -> None:
    rows = read([standard(png_of(PIXELS)), standard(png_of(255 - PIXELS))])

    np.testing.assert_allclose(rows[:, ..., 0], np.stack([PIXELS, 255 - PIXELS]) / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("item", "detail"),
    [
        ("not base64!", "row 1 is a string, but not base64"),
        ("a", "row 1 is a string, but not base64"),
        ("é", "row 1 is a string, but not base64"),
        ("", "row 1 as a picture: the body is empty"),
        ("AAAA", "row 1 as a picture: the body is not a PNG or JPEG file"),
        ("data:image/png,abc", "row 1 is a data URL that is not in base64"),
        (standard(b"GIF89a"), "row 1 as a picture: this is a GIF file; send PNG or JPEG"),
        (standard(png_of(PIXELS[:2])), "row 1 as a picture: the picture is 2 by 2 pixels"),
        (standard(png_of(PIXELS)[:-20]), "row 1 as a picture: the body is not a complete PNG"),
        (7, "row 1 is a number; a list of values is expected"),
        (None, "row 1 is null; a list of values is expected"),
        ({"b64": 7}, "row 1 is an object, not a picture"),
        ({"c64": standard(png_of(PIXELS))}, "row 1 is an object; a list of values is expected"),
    ],
)
def test_a_text_that_is_not_a_picture_is_named(item: object, detail: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read([standard(png_of(PIXELS)), item])

    assert str(caught.value).startswith(detail)
    assert [error.pointer for error in caught.value.field_errors] == ["/inputs/1"]


def test_pictures_and_numbers_may_be_mixed() -> None:
    text = standard(png_of(PIXELS))
    numbers = (PIXELS / 255).astype(np.float32)

    for inputs in ([text, numbers.tolist()], [numbers.ravel().tolist(), text]):
        rows = read(inputs)

        np.testing.assert_array_equal(rows[..., 0], np.stack([numbers, numbers]))


def test_as_many_pictures_as_a_row_has_values_are_rows() -> None:
    assert read([standard(png_of(PIXELS))] * GRAY.size).shape == (GRAY.size, 3, 2, 1)


def test_a_picture_much_longer_than_its_row_of_numbers_is_read() -> None:
    note = b"tEXtnote\0" + b"x" * 20_000
    chunk = (len(note) - 4).to_bytes(4, "big") + note + zlib.crc32(note).to_bytes(4, "big")
    body = png_of(PIXELS)

    rows = read([standard(body[:33] + chunk + body[33:])] * 3)

    np.testing.assert_array_equal(rows[1, ..., 0], (PIXELS / 255).astype(np.float32))


@pytest.mark.parametrize("inputs", ["AAAA", ["AAAA"]])
def test_models_of_other_rows_take_no_pictures(inputs: object) -> None:
    with pytest.raises(InvalidInput, match="is a string; a list of"):
        read(inputs, TABLE)


def test_more_pictures_than_the_limit_are_rejected_before_one_is_decoded() -> None:
    with pytest.raises(TooManyRows):
        read(["!"] * (MAX_ROWS + 1))


@given(text=st.text(max_size=60) | st.binary(max_size=60).map(standard))
def test_whatever_text_comes_it_is_rejected_with_its_place(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read([text])

    assert caught.value.field_errors[0].pointer == "/inputs/0"
