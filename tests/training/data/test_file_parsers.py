import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from training.data.file_parsers import gunzip, parse_idx
from training.errors import DatasetCorrupted


def idx(array: np.ndarray) -> bytes:
    lengths = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, max_side=5)))
def test_an_idx_file_gives_back_its_array(array: np.ndarray) -> None:
    np.testing.assert_array_equal(parse_idx(idx(array)), array)


@given(st.binary(max_size=40))
def test_other_bytes_are_rejected_unless_they_are_an_idx_file(content: bytes) -> None:
    try:
        array = parse_idx(content)
    except DatasetCorrupted:
        return
    assert idx(array) == content


@pytest.mark.parametrize("cut", [0, 3, 4, 10, -1])
def test_a_truncated_idx_file_is_rejected(cut: int) -> None:
    with pytest.raises(DatasetCorrupted):
        parse_idx(idx(np.zeros((2, 3), np.uint8))[:cut])


@pytest.mark.parametrize(
    "raw", [b"plain", gzip.compress(b"content", mtime=0)[:-4]], ids=["plain", "cut short"]
)
def test_an_incomplete_gzip_file_is_rejected(raw: bytes) -> None:
    with pytest.raises(DatasetCorrupted, match=f"{len(raw)} bytes"):
        gunzip(raw)
