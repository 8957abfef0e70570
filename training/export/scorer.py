"""The interface of anomaly scores: fit constants, then compute scores from them in a graph."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from service.inference.sampling import GaussianMixture
from training.arrays import FloatArray
from training.data.scaling import Scaling
from training.data.splitting import Part
from training.networks.autoencoder import Autoencoder
from training.tensors import Tensor, to_numpy

BATCH_ROWS = 1000

# Constants of a graph, by names that the scorer chooses.
Constants = Mapping[str, FloatArray]


class ScaledRows:
    """Rows of one part of the data, scaled batch by batch."""

    def __init__(self, part: Part, scaling: Scaling) -> None:
        """Take the rows; nothing is copied.

        Args:
            part: Rows in raw units.
            scaling: Between raw units and the inputs of the network.
        """
        self._part = part
        self._scaling = scaling

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._part)

    def batches(self) -> Iterator[tuple[FloatArray, FloatArray | None]]:
        """Yield scaled rows, (rows, *row shape), with conditions, (rows, 1) or None."""
        for first in range(0, len(self._part), BATCH_ROWS):
            chosen = slice(first, first + BATCH_ROWS)
            conditions = self._part.conditions
            yield (
                to_numpy(self._scaling.scale(self._part.rows[chosen])),
                None if conditions is None else conditions[chosen],
            )


@dataclass(frozen=True)
class FittingData:
    """What a scorer may be fitted to: not the calibration and test rows.

    Attributes:
        autoencoder: The trained model.
        train: Training rows.
        validation: Validation rows.
        mixture: Density of the codes of training rows.
        random: Generator of the scorer's own, for draws that become constants of the graph.
    """

    autoencoder: Autoencoder
    train: ScaledRows
    validation: ScaledRows
    mixture: GaussianMixture
    random: np.random.Generator


class Scorer(ABC):
    """One anomaly score, computed in scaled space, in which all columns weigh as in training.

    Attributes:
        description: One sentence for users.
        units: Units of the score.
    """

    description: str
    units: str

    @abstractmethod
    def fit(self, data: FittingData) -> Constants:
        """Compute the constants of the graph, once the weights are final.

        Args:
            data: Training and validation rows, and the model.

        Returns:
            Constants for ``score``; empty if there is nothing to fit.
        """

    @abstractmethod
    def score(
        self,
        autoencoder: Autoencoder,
        constants: Constants,
        rows: Tensor,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Compute scores; traced into a graph, so without random draws.

        Args:
            autoencoder: The trained model.
            constants: The result of ``fit``.
            rows: Scaled rows, (rows, *row shape).
            conditions: Shape (rows, 1) for a conditional model, else None.

        Returns:
            Scores, (rows,), higher is more anomalous; and the share of every value in them,
            (rows, *row shape).
        """
