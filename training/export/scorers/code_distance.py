"""How far a code is from the codes of training rows: a density, computed by matrix products."""

import numpy as np

from service.inference.sampling import GaussianMixture
from training.arrays import FloatArray
from training.export.scorer import Constants
from training.tensors import Tensor, ops

# Relative to the mean variance of the codes. A unit that hardly varies has a variance near 0, by
# which rounding errors would be divided.
VARIANCE_FLOOR = 1e-4
MIN_VARIANCE = 1e-12
# An infinite one, times a coefficient of 0, would be NaN.
MAX_SQUARE = 1e30


def fit_code_distance(mixture: GaussianMixture, codes: FloatArray) -> Constants:
    """Write a mixture as two matrices.

    Above the dimensions that a mixture is fitted in, the other dimensions get one normal
    distribution of equal variances, as in probabilistic PCA (Tipping and Bishop 1999).

    Args:
        mixture: Fitted to the codes of training rows.
        codes: Codes of validation rows, (rows, *code shape).

    Returns:
        Constants for ``code_distances``.
    """
    components, dimensions = mixture.means.shape
    covariances = mixture.cholesky @ mixture.cholesky.transpose(0, 2, 1)
    floor = VARIANCE_FLOOR * float(np.einsum("kii->", covariances)) / (components * dimensions)
    factors = np.linalg.cholesky(covariances + (floor + MIN_VARIANCE) * np.eye(dimensions))
    whitening = np.linalg.inv(factors)  # (components, dimensions, dimensions)
    log_volumes = np.log(np.einsum("kii->ki", factors)).sum(axis=1) - np.log(mixture.weights)
    center = mixture.weights @ mixture.means
    offsets = np.einsum("kij,kj->ki", whitening, center - mixture.means)
    constants = {
        "center": center,
        "axes": np.concatenate(list(whitening.transpose(0, 2, 1)), axis=1),
        "offsets": offsets.ravel(),
        "sums": np.kron(np.eye(components), np.full((dimensions, 1), 0.5)),
        "log_volumes": log_volumes - log_volumes.min(),
    }
    if mixture.projection_components is not None and mixture.projection_mean is not None:
        projection = mixture.projection_components.T  # (code values, dimensions)
        constants["center"] = mixture.projection_mean + projection @ center
        constants["axes"] = projection @ constants["axes"]
        constants |= _outside_constants(constants, projection, codes)
    return {f"code_{name}": array.astype(np.float32) for name, array in constants.items()}


def code_distances(constants: Constants, codes: Tensor) -> Tensor:
    """Compute the negative log density of codes under the nearest component of the mixture.

    It is counted from the highest density of all components, and at least 0.

    Args:
        constants: The result of ``fit_code_distance``, among others.
        codes: Shape (rows, *code shape).

    Returns:
        Shape (rows,), in nats.
    """
    flat = ops.reshape(codes, (-1, len(constants["code_center"])))
    centered = flat - constants["code_center"]
    whitened = centered @ constants["code_axes"] + constants["code_offsets"]
    squares = ops.minimum(ops.square(whitened), MAX_SQUARE)
    distances = squares @ constants["code_sums"] + constants["code_log_volumes"]
    nearest = ops.min(distances, axis=-1)
    if "code_energy" in constants:
        nearest = nearest + ops.sum(ops.square(centered) * constants["code_energy"], axis=-1)
    return ops.relu(nearest)


def _outside_constants(
    constants: dict[str, np.ndarray], projection: np.ndarray, codes: FloatArray
) -> dict[str, np.ndarray]:
    """Weigh the squared length of a code outside of the mixture's subspace.

    It is that of the whole centered code less that of its projection, which more axes compute.
    """
    centered = codes.reshape(len(codes), -1) - constants["center"]
    squares = np.square(centered).sum() - np.square(centered @ projection).sum()
    values, dimensions = projection.shape
    half_precision = 0.5 / max(squares / (len(codes) * (values - dimensions)), MIN_VARIANCE)
    components = constants["sums"].shape[1]
    return {
        "axes": np.concatenate([constants["axes"], projection], axis=1),
        "offsets": np.append(constants["offsets"], np.zeros(dimensions)),
        "sums": np.append(
            constants["sums"], np.full((dimensions, components), -half_precision), axis=0
        ),
        "energy": np.full(values, half_precision),
    }
