"""Bare float32 numbers, little-endian and row after row: the format without a header."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.errors import InvalidInput, MalformedBody
from service.formats.row_format import RowFormat, Shape

_NUMBER = np.dtype("<f4")
# A smaller array is copied: that costs less than keeping the whole batch that it is a slice of
# in memory until a slow client has read it.
_MIN_SHARED_BYTES = 64 * 1024


def read_raw(body: bytes, row_format: RowFormat) -> FloatArray:
    """Read rows whose shape only the model knows, without a copy.

    Example:
        For a model whose rows have 784 values, ``rows.astype("<f4").tobytes()`` of a NumPy array
        of shape (64, 784) is the body of 64 rows.

    Args:
        body: Rows in row-major order, nothing between them.
        row_format: What they should be.

    Returns:
        Contiguous float32, shape (rows, *row shape); on little-endian machines the body itself.

    Raises:
        MalformedBody: The body is empty.
        InvalidInput: The bytes are not a whole number of rows, or a value is out of range.
        TooManyRows: More rows than the limit.
    """
    if not body:
        raise MalformedBody("the body is empty; float32 numbers are expected")
    row_bytes = row_format.size * _NUMBER.itemsize
    rows, rest = divmod(len(body), row_bytes)
    if rest:
        raise InvalidInput.at(
            f"/{row_format.field}",
            f"the body has {len(body)} bytes, which is {rest} more than {rows} rows;"
            f" model {row_format.model} takes {row_bytes} bytes a row ({row_format.size} float32)",
        )
    row_format.check_row_count(rows)
    return row_format.cast(np.frombuffer(body, _NUMBER))


def write_raw(values: NDArray[Any]) -> bytes | memoryview:
    """Write an array as bare numbers; a large one is not copied.

    Args:
        values: Numbers; or records, whose fields become the last axis.
    """
    numbers = np.ascontiguousarray(_without_names(values), _NUMBER)
    if numbers.nbytes < _MIN_SHARED_BYTES:
        return numbers.tobytes()
    return numbers.reshape(-1).data.cast("B")


def shape_value(values: NDArray[Any]) -> bytes:
    """Return the shape of what ``write_raw`` writes, as the value of a header.

    Example:
        >>> shape_value(np.zeros((64, 28, 28, 1)))
        b'64,28,28,1'
    """
    fields = values.dtype.names
    return _with_commas((*values.shape, len(fields)) if fields else values.shape)


@lru_cache(maxsize=256)
def _with_commas(lengths: Shape) -> bytes:
    return b",".join([b"%d" % length for length in lengths])


def _without_names(values: NDArray[Any]) -> NDArray[Any]:
    names = values.dtype.names
    if names is None:
        return values
    return np.stack([values[name].astype(_NUMBER) for name in names], axis=-1)
