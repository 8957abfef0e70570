"""The table of array formats: media types whose body is one array.

A new media type is one file with a function that reads it and one that writes it, and one line in
``ARRAY_FORMATS``; negotiation, the calls and the OpenAPI document follow. JSON is not in the table
because a JSON body holds fields beside its rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from service.arrays import FloatArray
from service.formats.image import read_picture, write_jpeg, write_png
from service.formats.npy import read_npy, write_npy
from service.formats.raw import read_raw, shape_value, write_raw
from service.formats.row_format import RowFormat


@dataclass(frozen=True)
class ArrayHeader:
    """A header that a reader of a written array needs.

    Attributes:
        name: Name of the header.
        description: What it says, for the OpenAPI document.
        value: Computes it from the array.
    """

    name: str
    description: str
    value: Callable[[NDArray[Any]], bytes]

    @cached_property
    def encoded_name(self) -> bytes:
        """The name in lower case, as it is sent."""
        return self.name.lower().encode()


@dataclass(frozen=True)
class ArrayFormat:
    """A media type whose body is one array.

    Example:
        With ``read_csv`` and ``write_csv`` in ``service/formats/csv.py``, the line
        ``ArrayFormat("text/csv", read_csv, write_csv)`` in the table adds CSV.

    Attributes:
        media_type: In lower case, without parameters.
        read: Reads a body into rows: contiguous float32, shape (rows, *row shape). It raises
            ``MalformedBody`` for a body that it cannot read, and checks what it has read with
            ``RowFormat.check_shape`` and ``RowFormat.cast``.
        write: Writes an array: rows or codes as float32; scores as records with named fields,
            unless the format is for pictures only.
        pictures_only: Whether it holds rows of image models and nothing else.
        is_compressed: Whether compressing what was written is of no use.
        headers: What has to be sent along with a written array.
    """

    media_type: str
    read: Callable[[bytes, RowFormat], FloatArray]
    write: Callable[[NDArray[Any]], bytes | memoryview]
    pictures_only: bool = False
    is_compressed: bool = False
    headers: tuple[ArrayHeader, ...] = ()


_SHAPE = ArrayHeader(
    "X-Shape", "Lengths of the array's axes, separated by commas: `64,28,28,1`.", shape_value
)

ARRAY_FORMATS: dict[str, ArrayFormat] = {
    array_format.media_type: array_format
    for array_format in (
        ArrayFormat("application/x-npy", read_npy, write_npy),
        ArrayFormat("application/octet-stream", read_raw, write_raw, headers=(_SHAPE,)),
        ArrayFormat("image/png", read_picture, write_png, pictures_only=True, is_compressed=True),
        ArrayFormat("image/jpeg", read_picture, write_jpeg, pictures_only=True, is_compressed=True),
    )
}
"""Array formats by media type, the preferred ones first.

Complete before the first request: what is negotiated for an ``Accept`` header is cached.
"""
