"""NumPy's ``.npy`` files: arrays with their type and shape."""

import io
import threading
import warnings
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.errors import InvalidInput, MalformedBody
from service.formats.row_format import RowFormat, Shape

_HEADERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}
_WARNING_FILTERS = threading.Lock()
_NUMBERS = "fiu"
_MAX_AXES = 32
_MAX_AXIS_LENGTH = 2**63 - 1
_VERSION_1 = npy_format.magic(1, 0)
_LENGTH = slice(8, 10)  # where the header states its length: after magic and version
_MAX_CACHED_HEADER_BYTES = 512


class _Header(NamedTuple):
    shape: Shape
    fortran_order: bool
    dtype: np.dtype[Any]
    end: int


def read_npy(body: bytes, row_format: RowFormat) -> FloatArray:
    """Read rows from a ``.npy`` file.

    The header must state exactly as many bytes as follow it, and pickled objects are never loaded.

    Example:
        >>> row_format = RowFormat(field="inputs", model="plane", shape=(2,), max_rows=10)
        >>> read_npy(write_npy(np.array([[1, 2]], np.int64)), row_format)
        array([[1., 2.]], dtype=float32)

    Args:
        body: The file; float, signed or unsigned integers, C or Fortran order, any byte order.
            uint8 pixels of images are divided by 255.
        row_format: What the rows should be.

    Returns:
        Contiguous float32, shape (rows, *row shape).

    Raises:
        MalformedBody: The body is not a ``.npy`` file, or not as long as its header states.
        InvalidInput: Another shape, type or range than the model takes.
        TooManyRows: More rows than the limit.
    """
    shape, fortran_order, dtype, content = _read_header(body)
    if dtype.kind not in _NUMBERS:
        raise InvalidInput.at(
            f"/{row_format.field}",
            f"the array has type {dtype.name}; floats or integers are expected",
        )
    row_format.check_shape(shape)
    values = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")
    if row_format.is_image and dtype == np.uint8:
        values = values.astype(np.float32) / np.float32(255)
    return row_format.cast(values)


def _read_header(body: bytes) -> tuple[Shape, bool, np.dtype[Any], memoryview]:
    """Return shape, order, type and content of an array, after a check of the content's length."""
    if not body:
        raise MalformedBody("the body is empty; a .npy file is expected")
    end = _LENGTH.stop + int.from_bytes(body[_LENGTH], "little")
    if body.startswith(_VERSION_1) and end <= _MAX_CACHED_HEADER_BYTES:
        header = _parse_cached_header(body[:end])
    else:
        header = _parse_header(body)
    content = memoryview(body)[header.end :]
    stated = prod(header.shape) * header.dtype.itemsize
    if stated != len(content):
        raise MalformedBody(
            f"the .npy header states {stated} bytes of data; {len(content)} follow it"
        )
    return header.shape, header.fortran_order, header.dtype, content


def _parse_header(body: bytes) -> _Header:
    stream = io.BytesIO(body)
    try:
        # Filters of warnings are the process's; large bodies are read on other threads.
        with _WARNING_FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the client's text
            read_header = _HEADERS[npy_format.read_magic(stream)]
            shape, fortran_order, dtype = read_header(stream)
    except Exception as error:
        # NumPy parses the header as a Python literal: any text can be in it and raise any error.
        raise MalformedBody("the body is not a .npy file of version 1.0 or 2.0") from error
    if dtype.hasobject:
        raise MalformedBody("the array holds Python objects, which are never loaded; send numbers")
    if len(shape) > _MAX_AXES or not all(0 <= length <= _MAX_AXIS_LENGTH for length in shape):
        raise MalformedBody("the .npy header states a shape that is not valid")
    return _Header(tuple(map(int, shape)), fortran_order, dtype, stream.tell())


# Clients send the same few headers again and again, and one takes longer to parse than a row.
_parse_cached_header = lru_cache(maxsize=256)(_parse_header)


def write_npy(values: NDArray[Any]) -> bytes:
    """Write an array as a ``.npy`` file of version 1.0."""
    content = np.ascontiguousarray(values)
    return b"".join((_header_of(content.shape, content.dtype), content.data))


@lru_cache(maxsize=256)
def _header_of(shape: Shape, dtype: np.dtype[Any]) -> bytes:
    stream = io.BytesIO()
    fields = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(stream, fields)
    return stream.getvalue()
