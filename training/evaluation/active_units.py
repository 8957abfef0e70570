"""Active units: the dimensions of a code that carry information about the row.

Source: Burda, Grosse and Salakhutdinov, Importance weighted autoencoders, ICLR 2016.
"""

import numpy as np
from numpy.typing import NDArray

from training.arrays import FloatArray, Mask

# About the threshold of Burda et al.: a variance of posterior means above 0.01.
MIN_DIVERGENCE_NATS = 0.01
MIN_RELATIVE_DEVIATION = 0.01


def divergence_by_dimension(means: FloatArray, log_variances: FloatArray) -> NDArray[np.float64]:
    """Return KL(N(mean, variance) || N(0, 1)) of each dimension, as a mean over rows.

    Args:
        means: Posterior means, (rows, dimensions).
        log_variances: The same shape.

    Returns:
        Nats, (dimensions,).
    """
    exact, logs = means.astype(np.float64), log_variances.astype(np.float64)
    return 0.5 * (np.square(exact) + np.exp(logs) - 1.0 - logs).mean(axis=0)


def varying_units(codes: FloatArray) -> Mask:
    """Return which units vary with the row.

    A unit varies if its standard deviation is above ``MIN_RELATIVE_DEVIATION`` times the root mean
    square of all units' standard deviations.

    Args:
        codes: Shape (rows, *code shape).

    Returns:
        One truth value per unit: (units,), or (channels,) for codes with positions.
    """
    units = codes.reshape(-1, codes.shape[-1]).astype(np.float64)
    deviations = units.std(axis=0)
    typical = float(np.sqrt(np.square(deviations).mean()))
    # Smaller deviations are rounding errors of single precision.
    resolution = 1e-6 * max(1e-6, float(np.abs(units).max()))
    return deviations > max(MIN_RELATIVE_DEVIATION * typical, resolution)
