"""Readers of the files that data sets come in. Whatever cannot be read is ``DatasetCorrupted``."""

import gzip
import io
import zipfile
import zlib

import numpy as np
from numpy.typing import NDArray

from training.arrays import FloatArray
from training.errors import DatasetCorrupted


def gunzip(raw: bytes) -> bytes:
    """Decompress a ``.gz`` file.

    Raises:
        DatasetCorrupted: It is none, or cut short.
    """
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetCorrupted(f"{len(raw)} bytes that are no complete gzip file") from error


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
        raise DatasetCorrupted(f"{len(content)} bytes that are no idx array of unsigned bytes")
    shape = tuple(int(length) for length in np.frombuffer(content[4:first], ">u4"))
    if len(content) != first + np.prod(shape, dtype=np.uint64):
        raise DatasetCorrupted(f"{len(content)} bytes do not hold an idx array of shape {shape}")
    return np.frombuffer(content, np.uint8, offset=first).reshape(shape)


def beats_from_ucr_archive(raw: bytes) -> FloatArray:
    """Read the beats of ECG5000 as the UCR archive publishes them.

    Args:
        raw: ``ECG5000.zip``, with a text table each for the training and the test half; its
            first column is the class, 1 for normal.

    Returns:
        What ``labelled_beats`` returns.

    Raises:
        DatasetCorrupted: The archive or a table in it cannot be read.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            halves = [
                np.loadtxt(io.BytesIO(archive.read(f"ECG5000_{half}.txt")), ndmin=2)
                for half in ("TRAIN", "TEST")
            ]
        table = np.concatenate(halves)
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError) as error:
        raise DatasetCorrupted(f"{len(raw)} bytes that are no archive of ECG5000") from error
    return labelled_beats(table[:, 1:], table[:, 0] != 1)


def beats_from_npz(raw: bytes) -> FloatArray:
    """Read the beats of ECG5000 from a NumPy archive with ``X`` and ``y_anomaly``.

    Returns:
        What ``labelled_beats`` returns.

    Raises:
        DatasetCorrupted: The archive cannot be read.
    """
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            return labelled_beats(archive["X"], archive["y_anomaly"] != 0)
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError, EOFError) as error:
        raise DatasetCorrupted(f"{len(raw)} bytes that are no archive of X, y_anomaly") from error


def labelled_beats(beats: NDArray[np.floating], abnormal: NDArray[np.bool_]) -> FloatArray:
    """Bring beats into an order of their own, so that one digest covers every way of storing them.

    Args:
        beats: Shape (beats, samples).
        abnormal: Shape (beats,).

    Returns:
        Shape (beats, samples + 1), float32, rows in ascending order; the last column is 1 for
        an abnormal beat, else 0.
    """
    table = np.column_stack([beats, abnormal]).astype("<f4")
    return table[np.lexsort(table.T[::-1])]
