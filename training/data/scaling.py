"""Scaling between raw units and the inputs of the network, as layers of the exported graphs."""

from typing import Any, Literal

import keras
import numpy as np

from training.arrays import FloatArray
from training.tensors import Tensor


class Scale(keras.layers.Layer):
    """``(raw - center) / spread``, with constants that are part of every graph.

    Keras's Normalization has its constants as tensors of the graph in which it was built, and
    cannot be exported in another.
    """

    def __init__(self, center: FloatArray, spread: FloatArray, **options: Any) -> None:
        super().__init__(**options)
        self.center = center
        self.spread = spread

    def call(self, raw: Tensor) -> Tensor:
        """Return scaled rows, of the same shape."""
        return (raw - self.center) / self.spread


class Unscale(keras.layers.Layer):
    """The inverse of ``Scale``."""

    def __init__(self, center: FloatArray, spread: FloatArray, **options: Any) -> None:
        super().__init__(**options)
        self.center = center
        self.spread = spread

    def call(self, scaled: Tensor) -> Tensor:
        """Return rows in raw units, of the same shape."""
        return scaled * self.spread + self.center


class Scaling:
    """Scaling and its inverse, with constants per channel, or per column of a table.

    Attributes:
        center: Shape (channels,) or (columns,), float32, raw units.
        spread: The same shape, positive, raw units.
    """

    def __init__(self, center: FloatArray, spread: FloatArray) -> None:
        self.center = center
        self.spread = spread
        self.is_identity = bool(np.all(center == 0) and np.all(spread == 1))
        self._scale = Scale(center, spread, name="scale")
        self._unscale = Unscale(center, spread, name="unscale")

    def scale(self, raw: Tensor) -> Tensor:
        """Return scaled rows for raw rows, (rows, *row shape)."""
        return raw if self.is_identity else self._scale(raw)

    def unscale(self, scaled: Tensor) -> Tensor:
        """Return raw rows for scaled rows, (rows, *row shape)."""
        return scaled if self.is_identity else self._unscale(scaled)


def fit_scaling(kind: Literal["none", "standardize", "unit-range"], rows: FloatArray) -> Scaling:
    """Compute scaling constants from validation rows.

    Args:
        kind: As in a recipe's ``data.scaling``.
        rows: Validation rows in raw units, (rows, *row shape).

    Returns:
        The scaling. A constant channel or column is centered only.
    """
    axes = tuple(range(rows.ndim - 1))
    zeros = np.zeros(rows.shape[-1], np.float32)
    if kind == "standardize":
        center, spread = rows.mean(axis=axes, dtype=np.float64), rows.std(axis=axes, dtype=float)
    elif kind == "unit-range":
        center = rows.min(axis=axes)
        spread = rows.max(axis=axes) - center
    else:
        center, spread = zeros, zeros + 1
    spread = np.where(spread > 0, spread, 1.0)
    return Scaling(center.astype(np.float32), spread.astype(np.float32))
