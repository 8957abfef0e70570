"""Beats are the same, in one order, from every file format."""

import io
import zipfile

import numpy as np
import pytest

from training.data.sources.ecg5000 import beats_from_npz, beats_from_ucr_archive
from training.errors import DatasetCorrupted

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


def test_beats_have_one_order_in_every_file_format() -> None:
    packed = beats_from_npz(npz(X=BEATS.astype(np.float32), y_anomaly=ABNORMAL))
    original = beats_from_ucr_archive(
        ucr_archive("  3.0000000e+00  3.0  2.0\n", "1.0 -0.1 7.0\n  1.0  5.0e-01 -1.25\n")
    )

    np.testing.assert_array_equal(packed, IN_ORDER)
    assert original.tobytes() == packed.tobytes()


@pytest.mark.parametrize(
    "raw", [b"", b"PK no zip", npz(X=BEATS), ucr_archive("1 2 three\n", "1 2 3\n")]
)
def test_an_archive_without_beats_is_rejected(raw: bytes) -> None:
    with pytest.raises(DatasetCorrupted):
        beats_from_npz(raw)
    with pytest.raises(DatasetCorrupted):
        beats_from_ucr_archive(raw)
