"""The rows of a request, in whatever body they come."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from service.api.content_codings import is_compressed
from service.api.dialects.dialect import Head
from service.api.media_types import FORM, RAW
from service.arrays import FloatArray
from service.errors import InvalidInput, MalformedBody, RequestError, UnsupportedMediaType
from service.formats.array_formats import ARRAY_FORMATS
from service.formats.first_bytes import JPEG, NPY, PNG, kind_of
from service.formats.form import Part
from service.formats.form_rows import rows_of_files
from service.formats.json.body import JsonBody
from service.formats.raw import check_stated_shape
from service.formats.row_format import RowFormat
from service.off_loop import require_thread

_NO_ROWS: FloatArray = np.empty(0, np.float32)
_SIGNATURES = (PNG, NPY, JPEG)
# Measured on zeros: gzip makes 4 MB of 4 kB in 11 ms, zstd 32 MB of 1 kB in 13 ms.
_MAX_QUICK_COMPRESSED_BYTES = 1024
# Measured on PNG files of 28 by 28 pixels: 64 of them, 38 kB, are read in 4 ms.
_MAX_QUICK_FORM_BYTES = 64 * 1024
_MAX_ARRAY_BYTES = 4 * 1024 * 1024  # numbers are checked and cast in 2 to 5 ms
_CHARSET_FIELD = "_charset_"  # RFC 7578, section 4.6: what browsers say of their texts


@dataclass(frozen=True, slots=True)
class FormBody:
    """A form.

    Attributes:
        fields: Its texts, as what the fields of their names are.
        files: Its files, in order.
    """

    fields: dict[str, Any]
    files: list[Part]


def content_type_of(head: Head) -> str | None:
    """Return the request's Content-Type, if it has one."""
    value = head.headers.get(b"content-type")
    return None if value is None else value.decode("latin-1")


def is_costly(head: Head, media_type: str, body_bytes: int) -> bool:
    """Whether reading a body takes longer than its length lets expect: too long for an event loop.

    Args:
        head: The request's head.
        media_type: Of the body.
        body_bytes: Its length, as it was received.
    """
    if is_compressed(head.headers):
        return body_bytes > _MAX_QUICK_COMPRESSED_BYTES
    return media_type == FORM and body_bytes > _MAX_QUICK_FORM_BYTES


def split_form(
    parts: list[Part], rows_field: str | None, fields: Collection[str]
) -> tuple[list[tuple[str, str]], list[Part]]:
    """Split the parts of a form into named texts and files.

    Args:
        parts: Its parts.
        rows_field: Name of the field that holds rows, if the call takes any.
        fields: Names of the other fields: a file of such a name is a text.

    Raises:
        InvalidInput: A part is of no use.
    """
    texts: list[tuple[str, str]] = []
    files: list[Part] = []
    for part in parts:
        if part.filename is not None and part.name not in fields:
            if rows_field is None:
                raise part.error("the call takes no files")
            files.append(part)
        elif part.name == rows_field:
            raise part.error("rows are sent as files (PNG, JPEG or .npy), or in a JSON body")
        elif part.name != _CHARSET_FIELD:
            texts.append((part.name, part.text()))
    return texts, files


def rows_of(
    row_format: RowFormat | None, media_type: str, content: JsonBody | FormBody | bytes, head: Head
) -> FloatArray:
    """Read the rows of a request.

    Args:
        row_format: What they should be; None for a call that takes none.
        media_type: Of the body.
        content: The body, parsed if it has fields.
        head: The request's head, whose ``X-Shape`` states the shape of an array.

    Raises:
        RequestError: One of its kinds.
    """
    if row_format is None:
        return _NO_ROWS
    if isinstance(content, JsonBody):
        return content.rows(row_format)
    if isinstance(content, FormBody):
        return rows_of_files(content.files, row_format)
    if len(content) > _MAX_ARRAY_BYTES:
        require_thread(len(content))
    if (shape := head.headers.get(b"x-shape")) is not None:
        return _rows_of_shape(shape.decode("latin-1"), row_format, media_type, content)
    if media_type == RAW and content.startswith(_SIGNATURES):
        media_type = _told_type(content, row_format)
    try:
        return ARRAY_FORMATS[media_type].read(content, row_format)
    except (MalformedBody, InvalidInput) as error:
        raise _explained(error, media_type, content, row_format) from error


def _rows_of_shape(
    stated: str, row_format: RowFormat, media_type: str, content: bytes
) -> FloatArray:
    rows = check_stated_shape(stated, row_format, len(content) if media_type == RAW else None)
    array = ARRAY_FORMATS[media_type].read(content, row_format)
    if len(array) != rows:
        raise InvalidInput.at(
            f"/{row_format.field}", f"the body has {len(array)} rows, X-Shape states {rows}"
        )
    return array


def _told_type(content: bytes, row_format: RowFormat) -> str:
    """Say what bare bytes are that begin as a file.

    As bare numbers, each of the signatures begins with one that no image has. The three bytes of
    JPEG can begin the rows of a table, the six or more of the others hardly can.
    """
    kind = kind_of(content)
    assert kind is not None  # noqa: S101  # it begins as one
    assert kind.media_type is not None  # noqa: S101  # the signatures are those of such kinds
    if kind.media_type == "application/x-npy" or row_format.is_image:
        return kind.media_type
    if content.startswith(JPEG):
        return RAW
    raise UnsupportedMediaType(
        f"the body is {kind.name}; model {row_format.model} does not take pictures here"
    )


def _explained(
    error: RequestError, media_type: str, content: bytes, row_format: RowFormat
) -> RequestError:
    """Say what a body is instead, where its first bytes tell; else return the error itself."""
    kind = kind_of(content)
    if kind is None or kind.media_type == media_type or media_type.startswith("image/"):
        return error
    if isinstance(error, InvalidInput) and not (media_type == RAW and row_format.is_image):
        return error
    return UnsupportedMediaType(f"the body is {kind.name}, not {media_type}; {kind.advice}")


@lru_cache(maxsize=64)
def with_white(row_format: RowFormat | None, white: int) -> RowFormat:
    """Return the same format with a stated white.

    Raises:
        InvalidInput: The rows cannot be pictures.
    """
    if row_format is None or not row_format.is_image:
        raise InvalidInput.at("/white", "white is for pictures, which this call does not take here")
    return replace(row_format, white=white)
