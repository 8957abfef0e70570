"""An archive is refused by its headers before what they promise is allocated."""

import io
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from service.bundle.archives import MAX_ARCHIVE_BYTES, read_archive
from service.errors import BundleFileCorrupted, BundleTooLarge


def header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": "<f8"})
    return stream.getvalue()


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return stream.getvalue()


def test_arrays_are_read_in_their_order_of_memory() -> None:
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    stream = io.BytesIO()
    np.savez_compressed(stream, values=values)

    assert np.array_equal(read_archive(stream.getvalue(), "a.npz")["values"], values)


def test_a_bomb_is_not_unpacked() -> None:
    zeros = bytes(1024 * 1024)
    members = 1 + MAX_ARCHIVE_BYTES // len(zeros)
    content = archive(*((f"{number}.npy", zeros) for number in range(members)))
    assert len(content) < 1024 * 1024

    with pytest.raises(BundleTooLarge, match=r"^a\.npz has arrays of more than 536870912 bytes"):
        read_archive(content, "a.npz")


@pytest.mark.parametrize("shape", [(2**40,), (2**32, 2**31), (3,), (-2,), (), (2, -1)], ids=str)
def test_a_header_that_promises_another_size_is_refused(shape: tuple[int, ...]) -> None:
    content = archive(("codes.npy", header(shape) + bytes(16)))

    with pytest.raises(BundleFileCorrupted, match=r"^a\.npz is not an archive of plain arrays"):
        read_archive(content, "a.npz")


def test_a_compression_that_numpy_does_not_write_is_refused() -> None:
    content = archive(("codes.npy", header((2,)) + bytes(16)), method=zipfile.ZIP_LZMA)

    with pytest.raises(BundleFileCorrupted, match=r"^a\.npz is not an archive of plain arrays"):
        read_archive(content, "a.npz")


def test_a_name_that_is_there_twice_is_refused() -> None:
    member = ("codes.npy", header((2,)) + bytes(16))
    with pytest.warns(UserWarning, match="Duplicate"):
        content = archive(member, member)

    with pytest.raises(BundleFileCorrupted, match=r"^a\.npz is not an archive of plain arrays"):
        read_archive(content, "a.npz")
