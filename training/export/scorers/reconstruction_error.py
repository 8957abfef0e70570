"""The score that every bundle has by default: the error of the reconstruction."""

from training.export.scorer import Constants, FittingData, Scorer
from training.networks.autoencoder import Autoencoder
from training.tensors import Tensor, ops


class ReconstructionError(Scorer):
    """Mean squared error of a row's reconstruction, which has no constants.

    A variational model reconstructs from posterior means.
    """

    description = "Mean squared difference between a row and its reconstruction."
    units = "squared scaled units"

    def fit(self, data: FittingData) -> Constants:
        """Return no constants."""
        del data
        return {}

    def score(
        self,
        autoencoder: Autoencoder,
        constants: Constants,
        rows: Tensor,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return mean squared errors, and the squared error of every value; see ``Scorer``."""
        del constants
        squared_errors = ops.square(autoencoder.reconstruct(rows, conditions) - rows)
        value_axes = tuple(range(1, len(rows.shape)))
        return ops.mean(squared_errors, axis=value_axes), squared_errors
