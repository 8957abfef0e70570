"""Pictures as text: base64 and data URLs, in the rows of a JSON body."""

import binascii
import re
from typing import cast
from urllib.parse import unquote_to_bytes

from service.arrays import FloatArray
from service.errors import RequestError
from service.formats.image import read_picture
from service.formats.row_format import RowFormat

_DATA_URL = re.compile(r"\s*data:([^,]{0,100}),", re.IGNORECASE)
_BASE64 = ";base64"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n"
_WRAPPED = "b64"  # {"b64": "..."} is how TensorFlow Serving's clients write bytes


def is_picture_text(row: object, row_format: RowFormat) -> bool:
    """Whether a row of a JSON body can only be a picture that was written as text."""
    return row_format.is_image and (
        isinstance(row, str) or (isinstance(row, dict) and _WRAPPED in row)
    )


def read_picture_text(row: object, row_format: RowFormat) -> FloatArray:
    """Read a picture that was written as text.

    Args:
        row: Base64 of the file, in the standard or the URL-safe alphabet, padded or not, or a data
            URL of the same; as it is, or wrapped in an object: ``{"b64": text}``.
        row_format: What the picture should be.

    Returns:
        Values in [0, 1], shape (1, height, width, channels).

    Raises:
        ValueError: It is not a picture that the model takes. The message continues "row 3".
    """
    text = cast("dict[str, object]", row).get(_WRAPPED) if isinstance(row, dict) else row
    if not isinstance(text, str):
        raise ValueError('is an object, not a picture: {"b64": text} or the text is expected')  # noqa: TRY004  # a wrong value
    try:
        return read_picture(_decode(text), row_format)
    except RequestError as error:
        raise ValueError(f"as a picture: {error}") from error


def _decode(text: str) -> bytes:
    """Decode base64.

    Raises:
        ValueError: It is not base64.
    """
    if (head := _DATA_URL.match(text)) is not None:
        if not head[1].lower().rstrip().endswith(_BASE64):
            raise ValueError("is a data URL that is not in base64")
        text = text[head.end() :]
    try:
        encoded = text.encode("ascii")
        if b"%" in encoded:
            encoded = unquote_to_bytes(encoded)
        encoded = encoded.translate(_URL_SAFE, _WHITE_SPACE).rstrip(b"=")
        return binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4), strict_mode=True)
    except ValueError as error:
        raise ValueError(
            "is a string, but not base64; a picture is a PNG or JPEG file in base64, or a data URL"
        ) from error
