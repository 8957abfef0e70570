"""Images in the idx files of MNIST, with a test set of their own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.arrays import FloatArray, IntegerArray
from training.data.data_files import DataFile, read_data_file
from training.data.digests import digest
from training.data.file_parsers import gunzip, parse_idx
from training.data.images import brightness, gray_images
from training.data.source import DataDescription

SIZE = 28
WHITE = 255


@dataclass(frozen=True)
class IdxFiles:
    """Where a data set in MNIST's layout is published.

    Attributes:
        title: Name for people.
        origin: Page of the data set.
        licence: Its terms.
        attribution: Its authors.
        classes: Names of the classes.
        folder: Name of the folder of its files.
        url: Address of the files, up to their names.
        sha256: Digests of the decompressed files by name: training images and labels, test images
            and labels, in this order.
    """

    title: str
    origin: str
    licence: str
    attribution: str
    classes: tuple[str, ...]
    folder: str
    url: str
    sha256: Mapping[str, str]


class IdxImages:
    """A data set in MNIST's layout; levels are kept as bytes, and converted batch by batch."""

    def __init__(self, files: IdxFiles) -> None:
        """Name the files; they are read when the data is.

        Args:
            files: Where the data set is published.
        """
        self._files = files

    @cached_property
    def _contents(self) -> list[bytes]:
        files = self._files
        return [
            read_data_file(DataFile(files.folder, name, files.url + name, sha256), gunzip)
            for name, sha256 in files.sha256.items()
        ]

    @cached_property
    def _arrays(self) -> list[NDArray[np.uint8]]:
        return [parse_idx(content) for content in self._contents]

    def describe(self) -> DataDescription:
        """Return the description; see ``DataSource``."""
        return DataDescription(
            title=self._files.title,
            origin=self._files.origin,
            licence=self._files.licence,
            attribution=self._files.attribution,
            input=gray_images(SIZE),
            classes=self._files.classes,
            test_rows=len(self._arrays[3]),
            sha256=digest(*self._contents),
        )

    def labels(self) -> IntegerArray:
        """Return the class of every row; see ``DataSource``."""
        _, train_labels, _, test_labels = self._arrays
        return np.concatenate([train_labels, test_labels]).astype(np.int64)

    def batches(self, max_rows: int) -> Iterator[FloatArray]:
        """Yield training images, then test images; see ``DataSource``."""
        train_images, _, test_images, _ = self._arrays
        for images in (train_images, test_images):
            for first in range(0, len(images), max_rows):
                yield brightness(images[first : first + max_rows], WHITE)
