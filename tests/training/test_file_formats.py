import gzip
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from training.errors import DatasetCorrupted
from training.file_formats import beats_from_npz, beats_from_ucr_archive, gunzip, parse_idx


def idx(array: np.ndarray) -> bytes:
    lengths = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, max_side=5)))
def test_an_idx_file_gives_back_its_array(array: np.ndarray) -> None:
    np.testing.assert_array_equal(parse_idx(idx(array)), array)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_idx_file_are_refused_or_fit_exactly(content: bytes) -> None:
    try:
        array = parse_idx(content)
    except DatasetCorrupted:
        return
    assert idx(array) == content


@pytest.mark.parametrize("cut", [0, 3, 4, 10, -1])
def test_an_idx_file_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(DatasetCorrupted):
        parse_idx(idx(np.zeros((2, 3), np.uint8))[:cut])


# Ids of their own: compressed bytes hold the time, and processes that share tests compare ids.
@pytest.mark.parametrize(
    "raw", [b"plain", gzip.compress(b"content")[:-4]], ids=["plain", "cut short"]
)
def test_what_is_no_whole_gzip_file_is_refused(raw: bytes) -> None:
    with pytest.raises(DatasetCorrupted, match=f"{len(raw)} bytes"):
        gunzip(raw)


BEATS = np.array([[0.5, -1.25], [3.0, 2.0], [-0.1, 7.0]])
ABNORMAL = np.array([0, 1, 0])
IN_ORDER = np.array([[-0.1, 7.0, 0], [0.5, -1.25, 0], [3.0, 2.0, 1]], np.float32)


def npz(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]  # its allow_pickle is a bool
    return content.getvalue()


def ucr_archive(train: str, test: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("ECG5000_TRAIN.txt", train)
        archive.writestr("ECG5000_TEST.txt", test)
    return content.getvalue()


def test_beats_have_one_order_whatever_they_are_stored_in() -> None:
    packed = beats_from_npz(npz(X=BEATS.astype(np.float32), y_anomaly=ABNORMAL))
    original = beats_from_ucr_archive(
        ucr_archive("  3.0000000e+00  3.0  2.0\n", "1.0 -0.1 7.0\n  1.0  5.0e-01 -1.25\n")
    )

    np.testing.assert_array_equal(packed, IN_ORDER)
    assert original.tobytes() == packed.tobytes()


@pytest.mark.parametrize(
    "raw",
    [b"", b"PK no zip", npz(X=BEATS), ucr_archive("1 2 three\n", "1 2 3\n")],
    ids=["empty", "no archive", "without labels", "words"],
)
def test_an_archive_without_beats_is_refused(raw: bytes) -> None:
    with pytest.raises(DatasetCorrupted):
        beats_from_npz(raw)
    with pytest.raises(DatasetCorrupted):
        beats_from_ucr_archive(raw)
