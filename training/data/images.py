"""Gray images as rows."""

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import InputSpec
from training.arrays import FloatArray


def gray_images(size: int) -> InputSpec:
    """Describe gray images of ``size`` by ``size`` pixels."""
    return InputSpec(
        kind="image",
        shape=(size, size, 1),
        range=(0.0, 1.0),
        units="brightness from 0 (black) to 1 (white)",
        background=0.0,  # MNIST, Fashion-MNIST and digits are light on black
    )


def brightness(images: NDArray[np.uint8], white: int) -> FloatArray:
    """Scale integer levels to [0, 1].

    Args:
        images: Shape (rows, height, width).
        white: The level of white.

    Returns:
        Shape (rows, height, width, 1).
    """
    return images[..., np.newaxis].astype(np.float32) / np.float32(white)
