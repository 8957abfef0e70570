"""Pictures that are not what is stored looks like: turned, transparent, of other depths."""

import struct
import zlib
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from service.errors import InvalidInput, MalformedBody, UnsupportedMediaType
from service.formats.first_bytes import PNG
from service.formats.image import read_picture
from service.formats.picture_files.exif import orientation_in
from service.formats.row_format import RowFormat
from tests.formats.formats import COLOR, GRAY, image_format

LARGE = image_format(16, 24, 1)
LARGE_COLOR = image_format(16, 24, 3)
WHITE = replace(COLOR, background=1.0)
RANDOM = np.random.default_rng(0)


def saved(picture: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(
    width: int, height: int, depth: int, color_type: int, lines: list[bytes], *others: bytes,
    interlaced: bool = False,
) -> bytes:  # fmt: skip
    """Write a PNG of unfiltered lines; ``others`` stand in front of the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced)
    pixels = zlib.compress(b"".join(b"\0" + line for line in lines))
    chunks = [chunk(b"IHDR", header), *others, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return PNG + b"".join(chunks)


def gray16(values: np.ndarray, *others: bytes) -> bytes:
    height, width = values.shape
    return png(width, height, 16, 0, [line.astype(">u2").tobytes() for line in values], *others)


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_a_picture_is_turned_as_its_orientation_says(file_format: str, orientation: int) -> None:
    pixels = np.add.outer(8 * np.arange(16), 5 * np.arange(24)).astype(np.uint8)
    stored = pixels if orientation < 5 else np.ascontiguousarray(pixels.T)
    body = saved(Image.fromarray(stored), file_format, exif=exif(orientation))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(body))))

    row = read_picture(body, LARGE)

    np.testing.assert_array_equal(row[0, ..., 0], expected.astype(np.float32) / np.float32(255))


def test_the_size_is_that_of_the_turned_picture() -> None:
    body = saved(Image.new("L", (24, 16)), "JPEG", exif=exif(6))

    with pytest.raises(InvalidInput, match=r"the picture is 16 by 24 pixels .* takes 24 by 16"):
        read_picture(body, LARGE)


def test_the_orientation_may_stand_behind_the_pixels() -> None:
    pixels = np.array([[0, 255], [0, 0], [0, 0]], np.uint8)
    body = saved(Image.fromarray(pixels))
    end = chunk(b"eXIf", exif(3).removeprefix(b"Exif\0\0")) + body[-12:]

    row = read_picture(body[:-12] + end, GRAY)

    np.testing.assert_array_equal(row[0, ..., 0], np.rot90(pixels, 2) / 255)


@given(data=st.binary(max_size=60), order=st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_damaged_exif_data_turn_nothing(data: bytes, order: bytes) -> None:
    assert 1 <= orientation_in(order + data) <= 8
    assert orientation_in(data) == 1


@given(pixels=hnp.arrays(np.uint8, (2, 3, 4)), background=st.sampled_from([0.0, 0.25, 1.0]))
def test_what_is_transparent_shows_the_background(pixels: np.ndarray, background: float) -> None:
    alpha = pixels[..., 3:] / 255
    expected = pixels[..., :3] / 255 * alpha + background * (1 - alpha)

    row = read_picture(saved(Image.fromarray(pixels)), replace(COLOR, background=background))

    np.testing.assert_allclose(row[0], expected, atol=1e-6)


def test_a_drawing_on_a_transparent_canvas_is_not_a_black_picture_on_white() -> None:
    canvas = np.zeros((3, 2, 4), np.uint8)
    canvas[1, :, 3] = 255  # a black line; elsewhere the canvas is transparent black

    white = read_picture(saved(Image.fromarray(canvas)), replace(GRAY, background=1.0))
    black = read_picture(saved(Image.fromarray(canvas)), GRAY)

    np.testing.assert_array_equal(white[0, ..., 0], [[1, 1], [0, 0], [1, 1]])
    assert not black.any()


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_opaque_pictures_with_alpha_are_read_as_without(mode: str) -> None:
    pixels = RANDOM.integers(0, 255, (16, 24, 3), np.uint8)
    picture = Image.fromarray(pixels).convert("RGB" if mode == "RGBA" else "L")
    transparent = picture.convert("RGBA" if mode == "PA" else mode)

    np.testing.assert_array_equal(
        read_picture(saved(transparent), LARGE), read_picture(saved(picture), LARGE)
    )


@given(pixels=hnp.arrays(np.uint8, (16, 24, 3)))
def test_colors_become_the_gray_that_pillow_makes_of_them(pixels: np.ndarray) -> None:
    picture = Image.fromarray(pixels)

    row = read_picture(saved(picture), LARGE)

    expected = np.asarray(picture.convert("L")).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(row[0, ..., 0], expected)


@pytest.mark.parametrize("row_format", [LARGE, LARGE_COLOR], ids=["gray", "color"])
@pytest.mark.parametrize("colors", [2, 7, 200])
def test_a_palette_is_looked_up(row_format: RowFormat, colors: int) -> None:
    pixels = RANDOM.integers(0, 255, (16, 24, 3), np.uint8)
    picture = Image.fromarray(pixels).quantize(colors)
    expected = picture.convert("L" if row_format is LARGE else "RGB")

    row = read_picture(saved(picture), row_format)

    np.testing.assert_array_equal(
        row[0].squeeze(), np.asarray(expected).astype(np.float32) / np.float32(255)
    )


def test_a_palette_may_be_transparent() -> None:
    colors = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))
    alphas = chunk(b"tRNS", bytes([0, 51]))
    body = png(3, 2, 8, 3, [bytes([0, 1, 2]), bytes([2, 1, 0])], colors, alphas)

    row = read_picture(body, WHITE)

    np.testing.assert_allclose(row[0, 0], [[1, 1, 1], [0.8, 1, 0.8], [0, 0, 1]], atol=1e-6)


def test_a_color_beyond_the_palette_is_damage() -> None:
    body = png(3, 2, 8, 3, [bytes(3), bytes([0, 0, 1])], chunk(b"PLTE", bytes(3)))

    with pytest.raises(MalformedBody, match="not a complete PNG file"):
        read_picture(body, COLOR)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_one_gray_may_be_transparent(depth: int) -> None:
    top = 2**depth - 1
    samples = np.array([[0, top], [top, 0], [0, top]])
    bits = ["".join(f"{sample:0{depth}b}" for sample in line) for line in samples]
    lines = [int(line.ljust(-(-len(line) // 8) * 8, "0"), 2) for line in bits]
    packed = [line.to_bytes(-(-2 * depth // 8), "big") for line in lines]
    transparent = chunk(b"tRNS", struct.pack(">H", 0))

    opaque = read_picture(png(2, 3, depth, 0, packed), GRAY)
    row = read_picture(png(2, 3, depth, 0, packed, transparent), replace(GRAY, background=0.5))

    np.testing.assert_array_equal(opaque[0, ..., 0], samples / top)
    np.testing.assert_array_equal(row[0, ..., 0], np.where(samples == 0, 0.5, 1))


def test_one_color_may_be_transparent() -> None:
    lines = [bytes([1, 2, 3] * 3), bytes([1, 2, 3, 1, 2, 4, 9, 9, 9])]
    body = png(3, 2, 8, 2, lines, chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)))

    row = read_picture(body, WHITE)

    assert (row[0, 0] == 1).all()
    np.testing.assert_allclose(row[0, 1], np.array([[255] * 3, [1, 2, 4], [9, 9, 9]]) / 255)


def test_an_interlaced_png_is_read() -> None:
    pixels = RANDOM.integers(0, 255, (3, 2), np.uint8)
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1))  # fmt: skip
    passes = [pixels[top::down, left::across] for top, left, down, across in starts]
    lines = [line.tobytes() for part in passes if part.size for line in part]

    row = read_picture(png(2, 3, 8, 0, lines, interlaced=True), GRAY)

    np.testing.assert_array_equal(row[0, ..., 0], pixels.astype(np.float32) / np.float32(255))


DEEP = np.array([[0, 1000], [2000, 3000], [4000, 4095]], np.uint16)


def test_twelve_bit_data_in_a_file_of_sixteen_need_a_stated_white() -> None:
    with pytest.raises(InvalidInput, match="state its white, such as white=4095 or white=65535"):
        read_picture(gray16(DEEP), GRAY)

    row = read_picture(gray16(DEEP), replace(GRAY, white=4095))
    dark = read_picture(gray16(DEEP), replace(GRAY, white=65_535))

    np.testing.assert_array_equal(row[0, ..., 0], (DEEP / 4095).astype(np.float32))
    np.testing.assert_array_equal(dark[0, ..., 0], (DEEP / 65_535).astype(np.float32))


@pytest.mark.parametrize("shift", ["replicated", "zeros"])
def test_data_widened_to_sixteen_bits_are_read_by_their_significant_bits(shift: str) -> None:
    widened = DEEP << 4 | (DEEP >> 8 if shift == "replicated" else 0)

    row = read_picture(gray16(widened, chunk(b"sBIT", bytes([12]))), GRAY)

    np.testing.assert_array_equal(row[0, ..., 0], (DEEP / 4095).astype(np.float32))


def test_a_black_picture_of_sixteen_bits_is_black() -> None:
    assert not read_picture(gray16(np.zeros((3, 2), np.uint16)), GRAY).any()


def test_samples_above_the_stated_white_are_rejected() -> None:
    with pytest.raises(InvalidInput, match="samples above the white that was stated, 4000"):
        read_picture(gray16(DEEP), replace(GRAY, white=4000))


def test_white_is_for_pictures_of_sixteen_bits() -> None:
    with pytest.raises(InvalidInput, match="white is for pictures of 16 bits a sample; this one"):
        read_picture(saved(Image.new("L", (2, 3))), replace(GRAY, white=4095))


@pytest.mark.parametrize(("color_type", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_colors_of_sixteen_bits_are_rejected_by_name(color_type: int, samples: int) -> None:
    body = png(2, 3, 16, color_type, [bytes(2 * 2 * samples)] * 3)

    with pytest.raises(MalformedBody, match="colors or alpha of 16 bits a sample"):
        read_picture(body, GRAY)


def test_one_gray_of_sixteen_bits_may_be_transparent() -> None:
    values = np.array([[7, 65_535], [65_535, 7], [8, 7]], np.uint16)

    row = read_picture(gray16(values, chunk(b"tRNS", struct.pack(">H", 7))), WHITE_GRAY)

    np.testing.assert_array_equal(row[0, :2, :, 0], 1)
    assert row[0, 2, 0, 0] == np.float32(8 / 65_535)


WHITE_GRAY = replace(GRAY, background=1.0)


def test_a_jpeg_in_cmyk_is_rejected_by_name() -> None:
    with pytest.raises(MalformedBody, match="the JPEG is in CMYK, which is not read"):
        read_picture(saved(Image.new("CMYK", (24, 16)), "JPEG"), LARGE)


def test_an_animated_png_is_rejected_by_name() -> None:
    frames = [Image.new("L", (2, 3), level) for level in (0, 255)]
    body = saved(frames[0], save_all=True, append_images=frames[1:])

    with pytest.raises(MalformedBody, match="an animated PNG; send one picture"):
        read_picture(body, GRAY)


def test_the_first_picture_of_several_in_a_jpeg_is_read() -> None:
    frames = [Image.new("L", (24, 16), level) for level in (255, 0)]
    body = saved(frames[0], "MPO", save_all=True, append_images=frames[1:])

    np.testing.assert_array_equal(read_picture(body, LARGE), 1)


JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 1},
    "full color": {"subsampling": 0},
    "rgb": {"keep_rgb": True},
    "comment and exif": {"comment": b"hello", "exif": exif(1)},
    "profile": {"icc_profile": bytes(70_000)},
}


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS.keys())
def test_jpegs_of_every_layout_are_read_as_pillow_reads_them(options: dict[str, Any]) -> None:
    down, across = np.mgrid[0:16, 0:24]
    pixels = np.stack([10 * down, 9 * across, 3 * (down + across)], axis=-1).astype(np.uint8)
    body = saved(Image.fromarray(pixels), "JPEG", **options)
    expected = np.asarray(Image.open(BytesIO(body)).convert("RGB"))

    row = read_picture(body, LARGE_COLOR)

    np.testing.assert_array_equal(row[0], expected.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(read_picture(body + b"anything", LARGE_COLOR), row)


def test_a_jpeg_with_very_many_scans_is_rejected() -> None:
    body = saved(Image.new("L", (24, 16)), "JPEG")
    scan = body.index(b"\xff\xda")
    scans = body[scan : body.index(b"\xff\xd9", scan)] * 200

    with pytest.raises(MalformedBody, match="more than 100 scans"):
        read_picture(body[:scan] + scans + b"\xff\xd9", LARGE)


def test_a_profile_that_would_decompress_to_gigabytes_is_never_looked_at() -> None:
    profile = b"name\0\0" + zlib.compress(bytes(50_000_000))
    body = png(2, 3, 8, 0, [b"\xff\xff"] * 3, chunk(b"iCCP", profile), chunk(b"zTXt", profile))

    np.testing.assert_array_equal(read_picture(body, GRAY), 1)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (saved(Image.new("L", (2, 3)), "GIF"), "a GIF file"),
        (saved(Image.new("L", (2, 3)), "BMP"), "a BMP file"),
        (saved(Image.new("L", (2, 3)), "TIFF"), "a TIFF file"),
        (saved(Image.new("L", (2, 3)), "PDF"), "a PDF file"),
        (saved(Image.new("L", (2, 3)), "WEBP"), "a WebP file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC or AVIF file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_picture_in_another_format_is_named_with_what_to_send(body: bytes, name: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=f"this is {name}; send PNG or JPEG"):
        read_picture(body, GRAY)


def test_a_png_whose_line_ends_were_changed_is_named() -> None:
    body = saved(Image.new("L", (2, 3))).replace(b"\r\n", b"\n")

    with pytest.raises(UnsupportedMediaType, match=r"line ends were changed; .* --data-binary"):
        read_picture(body, GRAY)
