"""Principal component analysis: the best that a linear autoencoder of a code size can do."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from training.arrays import FloatArray

# The covariance of more values a row than this takes longer than a randomised factorisation.
MAX_COVARIANCE_VALUES = 2000


@dataclass(frozen=True)
class LinearBaseline:
    """Rows seen through their first principal components.

    Attributes:
        mean: Of the rows it was fitted to, (values,).
        components: Orthonormal, (components, values).

    Source: Bourlard and Kamp, Auto-association by multilayer perceptrons and singular value
        decomposition, Biological Cybernetics 1988.
    """

    mean: FloatArray
    components: FloatArray

    def reconstruct(self, rows: FloatArray) -> FloatArray:
        """Project flat rows, (rows, values), on the components and back."""
        codes = (rows - self.mean) @ self.components.T
        return np.asarray(codes @ self.components + self.mean, np.float32)


def fit_linear_baseline(rows: FloatArray, components: int) -> LinearBaseline:
    """Fit principal components.

    Args:
        rows: Flat rows, (rows, values).
        components: How many; no more than rows or values are used.

    Returns:
        The baseline, the same on every call.
    """
    values = rows.shape[1]
    usable = min(components, *rows.shape)
    # The randomised solver finds few of many components fast, and rejects the full number.
    wide = values > MAX_COVARIANCE_VALUES and usable < min(rows.shape)
    solver: Any = "randomized" if wide else "full" if len(rows) < values else "covariance_eigh"
    fit = PCA(usable, svd_solver=solver, random_state=0).fit(rows)
    mean, found = np.asarray(fit.mean_), np.asarray(fit.components_)
    return LinearBaseline(mean.astype(np.float32), found.astype(np.float32))


def principal_angle_degrees(rows: FloatArray, baseline: LinearBaseline) -> float:
    """Measure how far the subspace that rows vary in is from that of a baseline.

    Args:
        rows: Flat reconstructions, (rows, values).
        baseline: Components to compare with; as many directions of the rows are taken.

    Returns:
        The largest principal angle in degrees, from 0 (the same subspace) to 90.

    Source: Björck and Golub, Numerical methods for computing angles between linear subspaces,
        Mathematics of Computation 1973.
    """
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    found = directions[: len(baseline.components)].T
    angles = subspace_angles(found, baseline.components.T.astype(np.float64))
    return float(np.degrees(angles.max()))
