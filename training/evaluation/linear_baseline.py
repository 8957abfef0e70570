"""Principal component analysis: the optimum of a linear autoencoder of the same code size."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from training.arrays import FloatArray

# For rows of more values, a randomized factorization is faster than the covariance matrix.
MAX_COVARIANCE_VALUES = 2000


@dataclass(frozen=True)
class LinearBaseline:
    """The first principal components of rows.

    Attributes:
        mean: Of the rows it was fitted to, (values,).
        components: Orthonormal, (components, values).

    Source: Bourlard and Kamp, Auto-association by multilayer perceptrons and singular value
        decomposition, Biological Cybernetics 1988.
    """

    mean: FloatArray
    components: FloatArray

    def reconstruct(self, rows: FloatArray) -> FloatArray:
        """Project flat rows, (rows, values), onto the components and back."""
        codes = (rows - self.mean) @ self.components.T
        return np.asarray(codes @ self.components + self.mean, np.float32)


def fit_linear_baseline(rows: FloatArray, components: int) -> LinearBaseline:
    """Fit principal components.

    Args:
        rows: Flat rows, (rows, values).
        components: Number of components; at most the number of rows and of values are used.

    Returns:
        The baseline, the same on every call.
    """
    values = rows.shape[1]
    usable = min(components, *rows.shape)
    # The randomized solver is fast for few of many components, and rejects the full number.
    wide = values > MAX_COVARIANCE_VALUES and usable < min(rows.shape)
    solver: Any = "randomized" if wide else "full" if len(rows) < values else "covariance_eigh"
    fit = PCA(usable, svd_solver=solver, random_state=0).fit(rows)
    mean, found = np.asarray(fit.mean_), np.asarray(fit.components_)
    return LinearBaseline(mean.astype(np.float32), found.astype(np.float32))


def principal_angle_degrees(rows: FloatArray, baseline: LinearBaseline) -> float:
    """Measure the angle between the subspace of rows and that of a baseline.

    Args:
        rows: Flat reconstructions, (rows, values).
        baseline: Components to compare with; as many principal directions of the rows are used.

    Returns:
        The largest principal angle in degrees, from 0 (the same subspace) to 90.

    Source: Björck and Golub, Numerical methods for computing angles between linear subspaces,
        Mathematics of Computation 1973.
    """
    centered = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(centered, full_matrices=False)
    found = directions[: len(baseline.components)].T
    angles = subspace_angles(found, baseline.components.T.astype(np.float64))
    return float(np.degrees(angles.max()))
