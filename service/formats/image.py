"""PNG and JPEG files, for models of images.

Reading: one picture is one row. A color picture becomes gray for a model of one channel (ITU-R 601
luma), a gray one becomes color for a model of three; transparency is dropped; another size is an
error, pictures are never resized.

Writing: one row is one picture, several rows are a contact sheet.
"""

import io
import math
import warnings

import numpy as np
from PIL import Image

from service.arrays import FloatArray
from service.errors import InvalidInput, MalformedBody
from service.formats.row_format import RowFormat

_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L")
_GAP_PIXELS = 2
_JPEG_QUALITY = 95


def read_png(body: bytes, row_format: RowFormat) -> FloatArray:
    """Read a PNG file as one row, as ``read_jpeg`` does."""
    return _read_picture(body, "PNG", row_format)


def read_jpeg(body: bytes, row_format: RowFormat) -> FloatArray:
    """Read a JPEG file as one row.

    The size is compared before a pixel is decoded, so a small file of a huge picture costs
    nothing.

    Args:
        body: The file.
        row_format: What the row should be.

    Returns:
        Values in [0, 1], shape (1, height, width, channels).

    Raises:
        MalformedBody: The body is not a JPEG file, or a damaged one.
        InvalidInput: A picture of another size.
    """
    return _read_picture(body, "JPEG", row_format)


def _read_picture(body: bytes, file_format: str, row_format: RowFormat) -> FloatArray:
    height, width, channels = row_format.shape
    if not body:
        raise MalformedBody(f"the body is empty; a {file_format} file is expected")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what a file holds beside its pixels
            picture = Image.open(io.BytesIO(body), formats=[file_format])
            _check_size(picture, row_format)
            pixels = _pixels(picture, channels)
    except InvalidInput:
        raise
    except Image.DecompressionBombError as error:
        expected = _size(width, height)
        detail = f"the picture is far too large; model {row_format.model} takes {expected} pixels"
        raise InvalidInput.at("", detail) from error
    except Exception as error:
        # Pillow's readers raise errors of many types for damaged files.
        raise MalformedBody(f"the body is not a complete {file_format} file") from error
    return row_format.cast(pixels.reshape(1, height, width, channels))


def _check_size(picture: Image.Image, row_format: RowFormat) -> None:
    height, width, _ = row_format.shape
    if picture.size != (width, height):
        received, expected = _size(*picture.size), _size(width, height)
        raise InvalidInput.at(
            "",
            f"the picture is {received} pixels (width by height); model {row_format.model} takes"
            f" {expected}: resize it",
        )


def _size(width: int, height: int) -> str:
    return f"{width} by {height}"


def _pixels(picture: Image.Image, channels: int) -> FloatArray:
    if picture.mode in _SIXTEEN_BIT_MODES:
        gray = np.asarray(picture).astype(np.float32) / np.float32(65_535)
        return gray if channels == 1 else np.stack([gray] * channels, axis=-1)
    converted = picture.convert("L" if channels == 1 else "RGB")
    return np.asarray(converted).astype(np.float32) / np.float32(255)


def write_png(rows: FloatArray) -> bytes:
    """Write rows as one PNG file, as ``write_jpeg`` does."""
    return _saved(_picture_of(rows), "PNG", compress_level=1)


def write_jpeg(rows: FloatArray) -> bytes:
    """Write rows as one JPEG file.

    Args:
        rows: Values in [0, 1] (clipped), shape (rows, height, width, channels).

    Returns:
        The file: of the row itself, or of a contact sheet of several. A sheet is nearly square,
        filled line by line, with gaps of two pixels between pictures.
    """
    return _saved(_picture_of(rows), "JPEG", quality=_JPEG_QUALITY)


def _picture_of(rows: FloatArray) -> Image.Image:
    sheet = rows[0] if len(rows) == 1 else _contact_sheet(rows)
    pixels = np.rint(np.clip(sheet, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _saved(picture: Image.Image, file_format: str, **options: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def _contact_sheet(rows: FloatArray) -> FloatArray:
    count, height, width, channels = rows.shape
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    step_down, step_across = height + _GAP_PIXELS, width + _GAP_PIXELS
    sheet = np.ones(
        (down * step_down - _GAP_PIXELS, across * step_across - _GAP_PIXELS, channels), np.float32
    )
    for number, row in enumerate(rows):
        top, left = (number // across) * step_down, (number % across) * step_across
        sheet[top : top + height, left : left + width] = row
    return sheet
