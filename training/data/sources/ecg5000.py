"""ECG5000: heart beats, normal and abnormal."""

import io
import zipfile
import zlib

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import InputSpec
from training.arrays import FloatArray
from training.data.data_files import DataFile, local_file, read_data_file
from training.data.in_memory import InMemorySource, LoadedData
from training.data.source import DataDescription, NoOptions, SourceKind
from training.errors import DatasetCorrupted

SAMPLES = 140
# Of the content in the order of ``labelled_beats``, which is the same for every file format.
SHA256 = "833691dd8fb090c83a652ead4191f72be37739ef1d996c34ccda2da56c7361c8"
URL = "https://www.timeseriesclassification.com/aeon-toolkit/ECG5000.zip"


def load_beats() -> LoadedData:
    """Load all beats, from a NumPy archive in the data folder or from the public original."""
    packed = DataFile("ecg5000", "ecg5000_all.npz", "", SHA256)
    if local_file(packed) is not None:
        content = read_data_file(packed, lambda raw: beats_from_npz(raw).tobytes())
    else:
        original = DataFile("ecg5000", "ECG5000.zip", URL, SHA256)
        content = read_data_file(original, lambda raw: beats_from_ucr_archive(raw).tobytes())
    table = np.frombuffer(content, "<f4").reshape(-1, SAMPLES + 1)
    description = DataDescription(
        title="ECG5000",
        origin="https://www.timeseriesclassification.com/description.php?Dataset=ECG5000",
        licence="ODC-By 1.0",
        attribution=(
            "UCR time series archive (Yanping Chen, Eamonn Keogh), from record chf07 of the BIDMC"
            " congestive heart failure database on PhysioNet (Baim et al., Goldberger et al.)"
        ),
        input=InputSpec(
            kind="series",
            shape=(SAMPLES, 1),
            units="amplitude of one heart beat, standardised beat by beat by the archive",
        ),
        classes=("normal", "abnormal"),
        test_rows=0,
        sha256=SHA256,
    )
    rows = table[:, :-1, np.newaxis].astype(np.float32)
    return LoadedData(description, rows, table[:, -1].astype(np.int64))


def beats_from_ucr_archive(raw: bytes) -> FloatArray:
    """Parse the archive in which ECG5000 is published.

    Args:
        raw: ``ECG5000.zip``, with a text table each for the training and the test half; its
            first column is the class, 1 for normal.

    Returns:
        As ``labelled_beats``.

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
        raise DatasetCorrupted(f"{len(raw)} bytes are not an archive of ECG5000") from error
    return labelled_beats(table[:, 1:], table[:, 0] != 1)


def beats_from_npz(raw: bytes) -> FloatArray:
    """Parse a NumPy archive with ``X`` and ``y_anomaly``.

    Returns:
        As ``labelled_beats``.

    Raises:
        DatasetCorrupted: The archive cannot be read.
    """
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            return labelled_beats(archive["X"], archive["y_anomaly"] != 0)
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError, EOFError) as error:
        raise DatasetCorrupted(f"{len(raw)} bytes are not an archive of X and y_anomaly") from error


def labelled_beats(beats: NDArray[np.floating], abnormal: NDArray[np.bool_]) -> FloatArray:
    """Sort beats, so that one digest covers every file format.

    Args:
        beats: Shape (beats, samples).
        abnormal: Shape (beats,).

    Returns:
        Shape (beats, samples + 1), float32, rows in ascending order; the last column is 1 for
        an abnormal beat, else 0.
    """
    table = np.column_stack([beats, abnormal]).astype("<f4")
    return table[np.lexsort(table.T[::-1])]


ECG5000 = SourceKind(lambda _options, _seed: InMemorySource(load_beats), NoOptions)
