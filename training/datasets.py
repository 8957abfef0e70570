"""The data sets that recipes name: read, checked against the public original, and described."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import InputSpec
from service.inference.session import FloatArray
from training.data_files import DataFile, local_file, read_data_file
from training.file_formats import beats_from_npz, beats_from_ucr_archive, gunzip, parse_idx
from training.recipe import DatasetName

IntegerArray = NDArray[np.int64]

_DIGITS = tuple("0123456789")
_ECG5000_SAMPLES = 140
# Of the content in ``labelled_beats``' order, which is the same for every container of it.
_ECG5000_SHA256 = "833691dd8fb090c83a652ead4191f72be37739ef1d996c34ccda2da56c7361c8"

_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_MNIST_FILES = {
    "train-images-idx3-ubyte.gz": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte.gz": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}
_FASHION_MNIST_URL = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
_FASHION_MNIST_FILES = {
    "train-images-idx3-ubyte.gz": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte.gz": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}


@dataclass(frozen=True)
class Dataset:
    """Rows in a client's units, what they mean, and where they come from.

    Attributes:
        title: Name for people.
        source: Where the original is published.
        licence: Its terms.
        attribution: Whom to name.
        input: What one row is.
        rows: Shape (rows, *row shape), float32.
        labels: Class of each row, an index into ``classes``, shape (rows,).
        classes: Names of the classes.
        test_rows: How many of the last rows are the data set's own test set; 0 without one.
        sha256: Digest of the content that was read, whatever it was packed in.
    """

    title: str
    source: str
    licence: str
    attribution: str
    input: InputSpec
    rows: FloatArray
    labels: IntegerArray
    classes: tuple[str, ...]
    test_rows: int
    sha256: str


def load_dataset(name: DatasetName) -> Dataset:
    """Read a data set and check that it is the public original.

    Args:
        name: As a recipe names it.

    Raises:
        DatasetUnavailable: A file is neither here nor to be had.
        DatasetCorrupted: A file is not what it should be.
    """
    return _LOADERS[name]()


def _load_mnist() -> Dataset:
    images, labels, test_rows, sha256 = _read_idx_files("mnist", _MNIST_URL, _MNIST_FILES)
    return Dataset(
        title="MNIST",
        source="http://yann.lecun.com/exdb/mnist/",
        licence="CC BY-SA 3.0",
        attribution="Yann LeCun, Corinna Cortes, Christopher J. C. Burges",
        input=_grey_images(28),
        rows=_brightness(images, white=255),
        labels=labels,
        classes=_DIGITS,
        test_rows=test_rows,
        sha256=sha256,
    )


def _load_fashion_mnist() -> Dataset:
    images, labels, test_rows, sha256 = _read_idx_files(
        "fashion-mnist", _FASHION_MNIST_URL, _FASHION_MNIST_FILES
    )
    return Dataset(
        title="Fashion-MNIST",
        source="https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT",
        attribution="Zalando SE; Han Xiao, Kashif Rasul, Roland Vollgraf",
        input=_grey_images(28),
        rows=_brightness(images, white=255),
        labels=labels,
        classes=(
            *("T-shirt", "trouser", "pullover", "dress", "coat"),
            *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
        ),
        test_rows=test_rows,
        sha256=sha256,
    )


def _load_digits() -> Dataset:
    # Takes seconds to import and is needed for this data set only.
    from sklearn.datasets import load_digits  # noqa: PLC0415

    digits: Any = load_digits()
    images = digits.images.astype(np.uint8)
    labels = digits.target.astype(np.int64)
    return Dataset(
        title="Optical recognition of handwritten digits",
        source="https://archive.ics.uci.edu/dataset/80 (test part, as scikit-learn ships it)",
        licence="CC BY 4.0",
        attribution="Ethem Alpaydin, Cenk Kaynak",
        input=_grey_images(8),
        rows=_brightness(images, white=16),
        labels=labels,
        classes=_DIGITS,
        test_rows=0,
        sha256=_digest(images.tobytes(), labels.astype("<i8").tobytes()),
    )


def _load_ecg5000() -> Dataset:
    packed = DataFile("ecg5000", "ecg5000_all.npz", "", _ECG5000_SHA256)
    if local_file(packed) is not None:
        content = read_data_file(packed, lambda raw: beats_from_npz(raw).tobytes())
    else:
        url = "https://www.timeseriesclassification.com/aeon-toolkit/ECG5000.zip"
        original = DataFile("ecg5000", "ECG5000.zip", url, _ECG5000_SHA256)
        content = read_data_file(original, lambda raw: beats_from_ucr_archive(raw).tobytes())
    table = np.frombuffer(content, "<f4").reshape(-1, _ECG5000_SAMPLES + 1)
    return Dataset(
        title="ECG5000",
        source="https://www.timeseriesclassification.com/description.php?Dataset=ECG5000",
        licence="ODC-By 1.0",
        attribution=(
            "UCR time series archive (Yanping Chen, Eamonn Keogh), from record chf07 of the BIDMC"
            " congestive heart failure database on PhysioNet (Baim et al., Goldberger et al.)"
        ),
        input=InputSpec(
            kind="series",
            shape=(_ECG5000_SAMPLES, 1),
            units="amplitude of one heart beat, standardised beat by beat by the archive",
        ),
        rows=table[:, :-1, np.newaxis].astype(np.float32),
        labels=table[:, -1].astype(np.int64),
        classes=("normal", "abnormal"),
        test_rows=0,
        sha256=_ECG5000_SHA256,
    )


_LOADERS: dict[DatasetName, Callable[[], Dataset]] = {
    "digits": _load_digits,
    "mnist": _load_mnist,
    "fashion-mnist": _load_fashion_mnist,
    "ecg5000": _load_ecg5000,
}


def _read_idx_files(
    folder: str, base_url: str, digests: Mapping[str, str]
) -> tuple[NDArray[np.uint8], IntegerArray, int, str]:
    contents = [
        read_data_file(DataFile(folder, name, base_url + name, sha256), gunzip)
        for name, sha256 in digests.items()
    ]
    train_images, train_labels, test_images, test_labels = (parse_idx(c) for c in contents)
    images = np.concatenate([train_images, test_images])
    labels = np.concatenate([train_labels, test_labels]).astype(np.int64)
    return images, labels, len(test_labels), _digest(*contents)


def _grey_images(size: int) -> InputSpec:
    return InputSpec(
        kind="image",
        shape=(size, size, 1),
        range=(0.0, 1.0),
        units="brightness from 0 (black) to 1 (white)",
    )


def _brightness(images: NDArray[np.uint8], white: int) -> FloatArray:
    return images[..., np.newaxis].astype(np.float32) / np.float32(white)


def _digest(*contents: bytes) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()
