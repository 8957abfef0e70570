"""NumPy archives of untrusted origin: checked by their headers before anything is allocated."""

import io
import zipfile
from math import prod
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.errors import BundleError, BundleFileCorrupted, BundleTooLarge

MAX_ARCHIVE_BYTES = 512 * 1024 * 1024
"""Maximum size of all arrays of one archive together."""

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SUFFIX = ".npy"

FloatArrays = dict[str, NDArray[np.float64] | NDArray[np.float32]]


def read_archive(content: bytes, file_name: str) -> FloatArrays:
    """Read the arrays of a ``.npz`` file.

    Args:
        content: The bytes of the file.
        file_name: Its name, for messages.

    Raises:
        BundleFileCorrupted: It is not an archive of float32 or float64 arrays.
        BundleTooLarge: Its arrays have more than ``MAX_ARCHIVE_BYTES``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read_arrays(archive, file_name)
    except BundleError:
        raise
    except Exception as error:  # of NumPy, zipfile, zlib, tokenize: each has types of its own
        raise BundleFileCorrupted(f"{file_name} is not an archive of plain arrays") from error


def _read_arrays(archive: zipfile.ZipFile, file_name: str) -> FloatArrays:
    members = archive.infolist()
    if sum(member.file_size for member in members) > MAX_ARCHIVE_BYTES:
        raise BundleTooLarge(f"{file_name} has arrays of more than {MAX_ARCHIVE_BYTES} bytes")
    arrays: FloatArrays = {}
    for member in members:
        name = member.filename.removesuffix(_SUFFIX)
        if member.compress_type not in _METHODS or name in arrays:
            raise BundleFileCorrupted(f"{file_name} is not an archive of plain arrays")
        arrays[name] = _read_array(archive, member, f"{file_name}: {name}")
    return arrays


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str) -> Any:
    with archive.open(member) as file:
        if not member.filename.endswith(_SUFFIX):
            raise BundleFileCorrupted(f"{what} is not an array of float32 or float64")
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError("objects are pickled")
        if dtype not in _FLOATS:
            raise BundleFileCorrupted(f"{what} is not an array of float32 or float64")
        if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != (
            member.file_size - file.tell()
        ):
            raise ValueError("the header and the size of the array contradict each other")
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)
