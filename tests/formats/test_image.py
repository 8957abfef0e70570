"""Pictures to rows and back."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from service.errors import InvalidInput, MalformedBody, RequestError
from service.formats.image import read_picture, write_jpeg, write_png
from service.formats.row_format import RowFormat
from tests.formats.formats import COLOR, GRAY, image_format

LARGE = image_format(16, 24, 3)


def picture_of(pixels: np.ndarray, file_format: str = "PNG", mode: str | None = None) -> bytes:
    picture = Image.fromarray(pixels)
    stream = BytesIO()
    converted = picture.convert(mode) if mode else picture
    converted.save(stream, file_format)
    return stream.getvalue()


def decoded(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(picture)))


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def smooth_pixels(row_format: RowFormat) -> np.ndarray:
    """A gradient, which JPEG keeps nearly unchanged."""
    height, width, channels = row_format.shape
    down, across = np.mgrid[0:height, 0:width]
    gray = 40 + 6 * down + 4 * across
    return np.stack([gray + 10 * channel for channel in range(channels)], axis=-1).astype(np.uint8)


@given(pixels=hnp.arrays(np.uint8, COLOR.shape) | hnp.arrays(np.uint8, GRAY.shape))
def test_a_png_is_read_and_written_to_the_bit(pixels: np.ndarray) -> None:
    row_format = COLOR if pixels.shape[2] == 3 else GRAY
    picture = picture_of(pixels if pixels.shape[2] == 3 else pixels[..., 0])

    row = read_picture(picture, row_format)

    np.testing.assert_array_equal(
        row, pixels[None].astype(np.float32) / np.float32(255), strict=True
    )
    np.testing.assert_array_equal(decoded(write_png(row)).reshape(pixels.shape), pixels)


def test_a_jpeg_is_read_and_written_within_its_losses() -> None:
    pixels = smooth_pixels(LARGE)

    row = read_picture(picture_of(pixels, "JPEG"), LARGE)
    written = write_jpeg(pixels[None].astype(np.float32) / np.float32(255))

    assert Image.open(BytesIO(written)).format == "JPEG"
    np.testing.assert_allclose(row[0], pixels / 255, atol=0.05)
    np.testing.assert_allclose(decoded(written) / 255, pixels / 255, atol=0.05)


def test_a_color_picture_becomes_gray_for_a_model_of_one_channel() -> None:
    pixels = np.zeros((3, 2, 3), np.uint8)
    pixels[0, 0], pixels[1, 1], pixels[2, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)

    row = read_picture(picture_of(pixels), GRAY)

    expected = pixels @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(row[0, ..., 0], expected, atol=1 / 255)


def test_a_gray_picture_becomes_color_for_a_model_of_three_channels() -> None:
    gray = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)

    row = read_picture(picture_of(gray), COLOR)

    np.testing.assert_array_equal(row[0], np.stack([gray] * 3, axis=-1).astype(np.float32) / 255)


@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA"])
def test_pictures_of_every_mode_keep_black_and_white(mode: str) -> None:
    pixels = np.array([[0, 255], [255, 0], [0, 0]], np.uint8)

    row = read_picture(picture_of(pixels, mode=mode), GRAY)

    np.testing.assert_array_equal(row[0, ..., 0], pixels / 255)


def test_sixteen_bits_a_pixel_are_kept() -> None:
    pixels = np.array([[0, 1], [256, 257], [65_534, 65_535]], np.uint16)
    expected = pixels.astype(np.float32) / np.float32(65_535)

    np.testing.assert_array_equal(read_picture(picture_of(pixels), GRAY)[0, ..., 0], expected)
    wide = image_format(3, 2, 3)
    np.testing.assert_array_equal(
        read_picture(picture_of(pixels), wide)[0], np.stack([expected] * 3, axis=-1)
    )


@pytest.mark.parametrize(("width", "height"), [(3, 2), (2, 2), (1, 1), (28, 28), (5_000, 5_000)])
def test_a_picture_of_another_size_is_rejected_and_never_resized(width: int, height: int) -> None:
    stream = BytesIO()
    Image.new("1", (width, height)).save(stream, "PNG")

    with pytest.raises(InvalidInput) as caught:
        read_picture(stream.getvalue(), GRAY)

    assert str(caught.value) == (
        f"the picture is {width} by {height} pixels (width by height); model image takes 2 by 3:"
        " resize it"
    )


@pytest.mark.parametrize("side", [20_000, 65_000])
def test_a_decompression_bomb_is_rejected_before_a_pixel_is_decoded(side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b""))  # without any pixels to decode
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")

    with pytest.raises(InvalidInput, match=f"the picture is {side} by {side} pixels"):
        read_picture(bomb, GRAY)


def test_an_empty_body_is_not_a_picture() -> None:
    with pytest.raises(MalformedBody, match="the body is empty; a PNG or JPEG file is expected"):
        read_picture(b"", GRAY)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_a_truncated_picture_is_rejected(file_format: str) -> None:
    picture = picture_of(smooth_pixels(LARGE), file_format)
    end = {"PNG": 20, "JPEG": 2}[file_format]  # checksums and end markers: all pixels are there

    for kept in range(0, len(picture) - end, 7):
        with pytest.raises(RequestError):
            read_picture(picture[:kept], LARGE)


@given(
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF8"]),
    body=st.binary(max_size=100),
)
def test_whatever_bytes_are_sent_only_a_request_error_is_raised(start: bytes, body: bytes) -> None:
    with pytest.raises(RequestError):
        read_picture(start + body, GRAY)


CHUNKS = [b"tRNS", b"PLTE", b"gAMA", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"fdAT"]


@given(
    chunks=st.lists(st.tuples(st.sampled_from(CHUNKS), st.binary(max_size=30)), max_size=3),
    mode=st.sampled_from(["L", "RGB", "P", "1", "LA"]),
)
def test_whatever_a_png_holds_beside_its_pixels_it_is_read_or_rejected(
    chunks: list[tuple[bytes, bytes]], mode: str
) -> None:
    picture = picture_of(np.full((3, 2), 255, np.uint8), mode=mode)
    extra = b"".join(chunk(kind, content) for kind, content in chunks)
    try:
        row = read_picture(picture[:33] + extra + picture[33:], GRAY)
    except RequestError:
        return
    assert row.shape == (1, 3, 2, 1)


@given(st.data())
def test_a_picture_with_bytes_changed_is_read_or_rejected(data: st.DataObject) -> None:
    file_format = data.draw(st.sampled_from(["PNG", "JPEG"]))
    picture = bytearray(picture_of(smooth_pixels(GRAY)[..., 0], file_format))
    for _ in range(data.draw(st.integers(1, 3))):
        picture[data.draw(st.integers(0, len(picture) - 1))] = data.draw(st.integers(0, 255))
    try:
        row = read_picture(bytes(picture), GRAY)
    except RequestError:
        return
    assert row.shape == (1, 3, 2, 1)
    assert ((row >= 0) & (row <= 1)).all()


def test_values_are_clipped_and_rounded_to_pixels() -> None:
    row = np.array([[-0.5, 0.0], [0.499 / 255, 0.501 / 255], [1.0, 1.5]], np.float32)

    np.testing.assert_array_equal(
        decoded(write_png(row.reshape(1, 3, 2, 1))), [[0, 0], [0, 1], [255, 255]]
    )


@pytest.mark.parametrize(("count", "across", "down"), [(2, 2, 1), (3, 2, 2), (7, 3, 3), (9, 3, 3)])
@pytest.mark.parametrize("row_format", [GRAY, COLOR], ids=["gray", "color"])
def test_several_rows_become_a_contact_sheet(
    count: int, across: int, down: int, row_format: RowFormat
) -> None:
    height, width, channels = row_format.shape
    pixels = np.random.default_rng(count).integers(0, 255, (count, *row_format.shape), np.uint8)

    sheet = decoded(write_png(pixels.astype(np.float32) / np.float32(255)))

    sheet = sheet.reshape(*sheet.shape[:2], channels)
    assert sheet.shape[:2] == (down * (height + 2) - 2, across * (width + 2) - 2)
    covered = np.zeros(sheet.shape[:2], bool)
    for number, row in enumerate(pixels):
        top, left = number // across * (height + 2), number % across * (width + 2)
        place = slice(top, top + height), slice(left, left + width)
        np.testing.assert_array_equal(sheet[place], row)
        covered[place] = True
    assert (sheet[~covered] == 255).all()  # the gaps, and the end of the last line
