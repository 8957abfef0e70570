"""Bare float32 numbers, little-endian and row after row: the format without a header."""

import re
from functools import lru_cache
from math import prod
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
_SHAPE = re.compile(r"\s*\d{1,18}\s*(,\s*\d{1,18}\s*){0,31}", re.ASCII)


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


def check_stated_shape(stated: str, row_format: RowFormat, body_bytes: int | None) -> int:
    """Check the shape that a client states for its rows.

    Args:
        stated: Lengths of the axes, separated by commas.
        row_format: What the rows should be.
        body_bytes: Bytes of a body of bare numbers; None of a body that has a shape of its own.

    Returns:
        How many rows were stated.

    Raises:
        InvalidInput: It is not a shape, or not one that the model takes, or not that of the body.
        TooManyRows: More rows than the limit.
    """
    if _SHAPE.fullmatch(stated) is None:
        raise InvalidInput.at("", "X-Shape is not a list of lengths, such as 64,28,28,1")
    shape = tuple(map(int, stated.split(",")))
    row_format.check_shape(shape)
    needed = prod(shape) * _NUMBER.itemsize
    if body_bytes is not None and body_bytes != needed:
        hint = ": is it float64? send float32" if body_bytes == 2 * needed else ""
        raise InvalidInput.at(
            f"/{row_format.field}",
            f"the body has {body_bytes} bytes; float32 of the shape in X-Shape has {needed}{hint}",
        )
    return shape[0]


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
