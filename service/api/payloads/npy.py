"""NumPy's ``.npy`` files: the dense media type that needs no schema."""

import io
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from service.api.payloads.rows import RowFormat
from service.errors import InvalidInput, MalformedBody
from service.inference.session import FloatArray

_HEADERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}
_NUMBERS = "fiu"


def read_npy(body: bytes, row_format: RowFormat) -> FloatArray:
    """Read rows from a ``.npy`` file.

    The header is believed only as far as the bytes that follow bear it out, and pickled
    objects are never loaded.

    Args:
        body: The file; float, signed or unsigned integers, C or Fortran order, any byte order.
            uint8 pixels of images are divided by 255.
        row_format: What the rows should be.

    Returns:
        Contiguous float32, shape (rows, *row shape).

    Raises:
        MalformedBody: Not a ``.npy`` file, or its bytes are not those of its header.
        InvalidInput: Another shape, type or range than the model takes.
        TooManyRows: More rows than the limit.
    """
    values = _read_array(body)
    if values.dtype.kind not in _NUMBERS:
        raise InvalidInput.at(
            f"/{row_format.field}",
            f"the array's type is {values.dtype}; floats or integers are expected",
        )
    if values.ndim == 0 or values.shape[1:] not in row_format.forms:
        forms = " or ".join(str(("rows", *form)).replace("'", "") for form in row_format.forms)
        raise InvalidInput.at(
            f"/{row_format.field}", f"the array has shape {values.shape}, the model takes {forms}"
        )
    row_format.refuse_count(len(values))
    if row_format.is_image and values.dtype == np.uint8:
        values = values.astype(np.float32) / np.float32(255)
    return row_format.cast(values)


def _read_array(body: bytes) -> NDArray[Any]:
    if not body:
        raise MalformedBody("the body is empty; a .npy file is expected")
    stream = io.BytesIO(body)
    try:
        read_header = _HEADERS[npy_format.read_magic(stream)]
        shape, fortran_order, dtype = read_header(stream)
    except (ValueError, KeyError) as error:
        raise MalformedBody("the body is not a .npy file of version 1.0 or 2.0") from error
    if dtype.hasobject:
        raise MalformedBody("the array holds Python objects; pickled data is never loaded")
    content = memoryview(body)[stream.tell() :]
    count = 1
    for length in shape:
        count *= length
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(content):
        raise MalformedBody(
            f"the header of the .npy file promises {count * dtype.itemsize} bytes of data,"
            f" {len(content)} follow"
        )
    values = np.frombuffer(content, dtype)
    return values.reshape(shape, order="F" if fortran_order else "C")


def write_npy(values: NDArray[Any]) -> bytes:
    """Write an array as a ``.npy`` file of version 1.0."""
    stream = io.BytesIO()
    npy_format.write_array(stream, values, version=(1, 0), allow_pickle=False)
    return stream.getvalue()
