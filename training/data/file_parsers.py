"""Parsers of file formats; content that cannot be parsed raises ``DatasetCorrupted``."""

import gzip
import zlib

import numpy as np
from numpy.typing import NDArray

from training.errors import DatasetCorrupted


def gunzip(raw: bytes) -> bytes:
    """Decompress a ``.gz`` file.

    Raises:
        DatasetCorrupted: The content is not a complete gzip file.
    """
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetCorrupted(f"{len(raw)} bytes are not a complete gzip file") from error


def parse_idx(content: bytes) -> NDArray[np.uint8]:
    """Read an array of bytes in MNIST's idx layout.

    Args:
        content: Two zero bytes, type 8 (unsigned byte), the number of axes, each length as a
            big-endian 32-bit integer, then the values in row-major order.

    Raises:
        DatasetCorrupted: The content has another layout or length.

    Source: LeCun, Cortes, Burges, The MNIST database, section on file formats.
    """
    axes = content[3] if content[:3] == b"\x00\x00\x08" and len(content) > 3 else 0
    first = 4 + 4 * axes
    if not axes or len(content) < first:
        raise DatasetCorrupted(f"{len(content)} bytes are not an idx array of unsigned bytes")
    shape = tuple(int(length) for length in np.frombuffer(content[4:first], ">u4"))
    if len(content) != first + np.prod(shape, dtype=np.uint64):
        raise DatasetCorrupted(f"{len(content)} bytes do not hold an idx array of shape {shape}")
    return np.frombuffer(content, np.uint8, offset=first).reshape(shape)
