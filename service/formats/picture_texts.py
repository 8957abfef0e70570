"""Pictures as text: base64 and data URLs, in the rows of a JSON body."""

import binascii
import re
from typing import cast
from urllib.parse import unquote_to_bytes

import numpy as np

from service.arrays import FloatArray
from service.errors import FieldError, InvalidInput, RequestError
from service.formats.image import read_picture
from service.formats.json_terms import json_type
from service.formats.row_format import MAX_ERRORS, RowFormat, invalid_rows_error

_DATA_URL = re.compile(r"\s*data:([^,]{0,100}),", re.IGNORECASE)
_BASE64 = ";base64"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n"
_WRAPPED = "b64"  # {"b64": "..."} is how TensorFlow Serving's clients write bytes


def holds_pictures(rows: object) -> bool:
    """Whether a field of rows is a picture as text, or a list that begins with one."""
    first: object = rows
    if isinstance(rows, list) and rows:
        first = cast("list[object]", rows)[0]
    return isinstance(first, str) or (isinstance(first, dict) and _WRAPPED in first)


def rows_from_texts(rows: object, row_format: RowFormat) -> FloatArray:
    """Read pictures that were written as text.

    Args:
        rows: One text, or a list of them: base64, in the standard or the URL-safe alphabet, padded
            or not, or a data URL of the same. Each may be wrapped in an object: ``{"b64": text}``.
        row_format: What a picture should be.

    Returns:
        Values in [0, 1], shape (rows, height, width, channels).

    Raises:
        InvalidInput: A text is not a picture that the model takes.
        TooManyRows: More pictures than the limit.
    """
    items = cast("list[object]", rows) if isinstance(rows, list) else [rows]
    row_format.check_row_count(len(items))
    pictures: list[FloatArray] = []
    field_errors: list[FieldError] = []
    for number, item in enumerate(items):
        try:
            pictures.append(read_picture(_bytes_of(item), row_format))
        except RequestError as error:
            white = next((e.pointer for e in error.field_errors if e.pointer == "/white"), None)
            pointer = white or f"/{row_format.field}/{number}"
            field_errors.append(FieldError(pointer, f"row {number}: {error}"))
            if len(field_errors) == MAX_ERRORS:
                break
    if field_errors:
        raise invalid_rows_error(field_errors)
    return pictures[0] if len(pictures) == 1 else np.concatenate(pictures)


def _bytes_of(item: object) -> bytes:
    """Decode one text.

    Raises:
        InvalidInput: It is not base64.
    """
    if isinstance(item, dict):
        item = cast("dict[str, object]", item).get(_WRAPPED)
    if not isinstance(item, str):
        raise InvalidInput(
            f"{json_type(item)} among pictures; send pictures alone, or rows of numbers alone"
        )
    data = item
    if (head := _DATA_URL.match(item)) is not None:
        if not head[1].lower().rstrip().endswith(_BASE64):
            raise InvalidInput("the data URL is not in base64")
        data = item[head.end() :]
    try:
        encoded = data.encode("ascii")
        if b"%" in encoded:
            encoded = unquote_to_bytes(encoded)
        encoded = encoded.translate(_URL_SAFE, _WHITE_SPACE).rstrip(b"=")
        return binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise InvalidInput(
            "the text is not base64; a picture is a PNG or JPEG file in base64, or a data URL"
        ) from error
