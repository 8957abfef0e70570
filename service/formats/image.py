"""PNG and JPEG files, for models of images.

Reading: one picture is one row. It is turned as its EXIF orientation says, what is transparent
shows the background of the model's data, a color picture becomes gray for a model of one channel
(ITU-R 601 luma), a gray one becomes color for a model of three. Another size is an error: pictures
are never resized. Color profiles and gamma are ignored.

Writing: one row is one picture, several rows are a contact sheet.
"""

import io
import math

import numpy as np
from PIL import Image

from service.arrays import FloatArray
from service.errors import InvalidInput, MalformedBody, UnsupportedMediaType
from service.formats.first_bytes import JPEG, PNG, kind_of
from service.formats.picture_files.decoding import Samples, decode
from service.formats.picture_files.jpeg import read_jpeg_file
from service.formats.picture_files.picture_file import PictureFile
from service.formats.picture_files.png import read_png_file
from service.formats.row_format import RowFormat

_GAP_PIXELS = 2
_JPEG_QUALITY = 95
# ITU-R 601 in 16 bits, rounded as Pillow does.
_LUMA = np.array([19_595, 38_470, 7_471], np.int64)
_HALF, _LUMA_BITS = 1 << 15, 16


def read_picture(body: bytes, row_format: RowFormat) -> FloatArray:
    """Read a PNG or JPEG file as one row; its first bytes tell which of them it is.

    The size is compared before a pixel is decoded, so a small file of a huge picture costs
    nothing.

    Args:
        body: The file.
        row_format: What the row should be.

    Returns:
        Values in [0, 1], shape (1, height, width, channels).

    Raises:
        MalformedBody: The body is damaged, or neither a PNG nor a JPEG file.
        UnsupportedMediaType: It is a file of another known kind.
        InvalidInput: A picture of another size, or whose white is not known.
    """
    picture = _open(body)
    _check_size(picture, row_format)
    samples, alpha = decode(picture, row_format.white)
    if alpha is not None and alpha.min() < 1:
        samples = _composed(_numbers(samples), alpha, row_format.background)
    row = _turned(_with_channels(samples, row_format.shape[2]), picture.orientation)
    return row_format.cast(row[None])


def _open(body: bytes) -> PictureFile:
    if body.startswith(PNG):
        return read_png_file(body)
    if body.startswith(JPEG):
        return read_jpeg_file(body)
    if not body:
        raise MalformedBody("the body is empty; a PNG or JPEG file is expected")
    if (kind := kind_of(body)) is not None:
        raise UnsupportedMediaType(f"this is {kind.name}; {kind.advice}")
    raise MalformedBody("the body is not a PNG or JPEG file")


def _check_size(picture: PictureFile, row_format: RowFormat) -> None:
    height, width, _ = row_format.shape
    if picture.seen_size != (width, height):
        received, expected = _size(*picture.seen_size), _size(width, height)
        raise InvalidInput.at(
            "",
            f"the picture is {received} pixels (width by height); model {row_format.model} takes"
            f" {expected}: resize it",
        )


def _size(width: int, height: int) -> str:
    return f"{width} by {height}"


def _numbers(samples: Samples) -> FloatArray:
    if samples.dtype == np.uint8:
        return samples.astype(np.float32) / np.float32(255)
    return samples.astype(np.float32, copy=False)


def _composed(samples: FloatArray, alpha: FloatArray, background: float) -> FloatArray:
    shown = samples * alpha + np.float32(background) * (1 - alpha)
    return shown.astype(np.float32, copy=False)


def _with_channels(samples: Samples, channels: int) -> FloatArray:
    if samples.shape[2] == channels:
        return _numbers(samples)
    if channels == 3:
        return np.repeat(_numbers(samples), 3, axis=2)
    if samples.dtype == np.uint8:
        luma = (samples.astype(np.int64) @ _LUMA + _HALF) >> _LUMA_BITS
        return _numbers(luma.astype(np.uint8))[..., None]
    weights = _LUMA.astype(np.float32) / np.float32(_LUMA.sum())
    return np.minimum(samples @ weights, np.float32(1))[..., None]


def _turned(row: FloatArray, orientation: int) -> FloatArray:
    """Turn a picture as EXIF says: 2 to 4 mirror or turn it over, 5 to 8 swap its axes."""
    if orientation > 4:
        row = row.swapaxes(0, 1)
    upside_down = orientation in (3, 4, 7, 8)
    mirrored = orientation in (2, 3, 6, 7)
    return row[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


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
