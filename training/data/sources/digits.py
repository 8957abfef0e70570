"""Handwritten digits of 8 by 8 pixels, which scikit-learn contains: no download is needed."""

from typing import Any

import numpy as np

from training.data.digests import digest
from training.data.images import brightness, gray_images
from training.data.in_memory import InMemorySource, LoadedData
from training.data.source import DataDescription, NoOptions, SourceKind

SIZE = 8
WHITE = 16


def load_digits() -> LoadedData:
    """Load all images."""
    # Takes seconds to import, and only this data set needs it.
    from sklearn.datasets import load_digits as load_from_package  # noqa: PLC0415

    digits: Any = load_from_package()
    images = digits.images.astype(np.uint8)
    labels = digits.target.astype(np.int64)
    description = DataDescription(
        title="Optical recognition of handwritten digits",
        origin="https://archive.ics.uci.edu/dataset/80 (test part, as scikit-learn ships it)",
        licence="CC BY 4.0",
        attribution="Ethem Alpaydin, Cenk Kaynak",
        input=gray_images(SIZE),
        classes=tuple("0123456789"),
        test_rows=0,
        sha256=digest(images.tobytes(), labels.astype("<i8").tobytes()),
    )
    return LoadedData(description, brightness(images, WHITE), labels)


DIGITS = SourceKind(lambda _options, _seed: InMemorySource(load_digits), NoOptions)
