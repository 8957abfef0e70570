"""PNG and JPEG pictures, for models of images."""

import io
import math
import warnings

import numpy as np
from PIL import Image

from service.arrays import FloatArray
from service.errors import InvalidInput, MalformedBody
from service.formats.row_format import RowFormat

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG"}
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L")
_GAP_PIXELS = 2
_JPEG_QUALITY = 95


def read_image(body: bytes, media_type: str, row_format: RowFormat) -> FloatArray:
    """Read one picture as one row.

    The size is compared before a pixel is decoded, so a small file of a huge picture costs
    nothing. A colour picture becomes grey for a model of one channel (ITU-R 601 luma), a grey
    one becomes colour for a model of three; transparency is dropped.

    Args:
        body: The file.
        media_type: ``image/png`` or ``image/jpeg``.
        row_format: What the row should be.

    Returns:
        Values in [0, 1], shape (1, height, width, channels).

    Raises:
        MalformedBody: Not a picture of that media type, or a damaged one.
        InvalidInput: A picture of another size; pictures are never resized.
    """
    height, width, channels = row_format.shape
    if not body:
        raise MalformedBody("the body is empty; a picture is expected")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a picture holds beside its pixels
            picture = Image.open(io.BytesIO(body), formats=[FORMATS[media_type]])
            _refuse_other_size(picture, width, height)
            pixels = _pixels(picture, channels)
    except InvalidInput:
        raise
    except Image.DecompressionBombError as error:
        expected = _size(width, height)
        raise InvalidInput.at("", f"the picture is huge, the model takes {expected}") from error
    except Exception as error:
        # Pillow's readers meet a damaged file with whatever its bytes lead them to.
        raise MalformedBody(f"the body is not a whole {FORMATS[media_type]} picture") from error
    return row_format.cast(pixels.reshape(1, height, width, channels))


def _refuse_other_size(picture: Image.Image, width: int, height: int) -> None:
    if picture.size != (width, height):
        received, expected = _size(*picture.size), _size(width, height)
        raise InvalidInput.at("", f"the picture has {received} pixels, the model takes {expected}")


def _size(width: int, height: int) -> str:
    return f"{width} by {height}"


def _pixels(picture: Image.Image, channels: int) -> FloatArray:
    if picture.mode in _SIXTEEN_BIT_MODES:
        grey = np.asarray(picture).astype(np.float32) / np.float32(65_535)
        return grey if channels == 1 else np.stack([grey] * channels, axis=-1)
    converted = picture.convert("L" if channels == 1 else "RGB")
    return np.asarray(converted).astype(np.float32) / np.float32(255)


def write_image(rows: FloatArray, media_type: str) -> bytes:
    """Write rows as one picture: the row itself, or a contact sheet of several.

    Args:
        rows: Values in [0, 1] (clipped), shape (rows, height, width, channels).
        media_type: ``image/png`` or ``image/jpeg``.

    Returns:
        The file. A sheet is near square, row by row, with gaps of two pixels between.
    """
    sheet = rows[0] if len(rows) == 1 else _contact_sheet(rows)
    pixels = np.rint(np.clip(sheet, 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    stream = io.BytesIO()
    if media_type == "image/png":
        picture.save(stream, "PNG", compress_level=1)
    else:
        picture.save(stream, "JPEG", quality=_JPEG_QUALITY)
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
