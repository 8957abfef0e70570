"""What an image or a series is like as a whole: its mean, its contrast, its roughness."""

from collections.abc import Sequence

import numpy as np

from training.arrays import FloatArray
from training.export.scorer import Constants
from training.tensors import Tensor, ops

# Of each variance: a direction in which statistics hardly vary is not divided by nearly nothing.
RELATIVE_RIDGE = 1e-4
MIN_VARIANCE = 1e-6


def has_statistics(rows: Tensor) -> bool:
    """Return whether rows are images or series: the columns of a table have no common mean."""
    return len(rows.shape) > 2


def row_statistics(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute statistics of each row.

    Args:
        rows: Images, (rows, height, width, channels), or series, (rows, steps, channels).

    Returns:
        Mean, variance and roughness, (rows, 1, …) with all axes. Roughness is the mean squared
        difference of values that are one step, or one pixel in height or width, apart.
    """
    means = row_means(rows)
    neighbors = [rows[:, 1:] - rows[:, :-1]]
    if len(rows.shape) == 4:
        neighbors.append(rows[:, :, 1:] - rows[:, :, :-1])
    roughness = [row_means(ops.square(each)) for each in neighbors if 0 not in each.shape[1:]]
    first, *others = roughness or [ops.zeros_like(means)]
    return means, row_means(ops.square(rows - means)), sum(others, start=first)


def row_means(values: Tensor) -> Tensor:
    """Return the mean of each row, (rows, 1, …) with all axes."""
    return ops.mean(values, axis=tuple(range(1, len(values.shape))), keepdims=True)


def fit_statistics(values: FloatArray, columns: Sequence[int]) -> Constants:
    """Fit a normal distribution to statistics of validation rows.

    Args:
        values: Shape (rows, values).
        columns: Which of the values are statistics.

    Returns:
        Constants for ``statistics_distances``.
    """
    statistics = values[:, columns].astype(np.float64)
    center, covariance = statistics.mean(axis=0), np.cov(statistics.T, bias=True)
    ridge = RELATIVE_RIDGE * np.diag(covariance) + MIN_VARIANCE
    axes = np.zeros((values.shape[1], len(columns)))
    axes[columns] = np.linalg.inv(np.linalg.cholesky(covariance + np.diag(ridge))).T
    return {
        "statistics_axes": axes.astype(np.float32),
        "statistics_offsets": (-center @ axes[columns]).astype(np.float32),
    }


def statistics_distances(constants: Constants, values: Tensor) -> Tensor:
    """Compute squared Mahalanobis distances from the statistics of validation rows.

    Args:
        constants: The result of ``fit_statistics``, among others.
        values: Shape (rows, values).

    Returns:
        Shape (rows, 1).
    """
    whitened = values @ constants["statistics_axes"] + constants["statistics_offsets"]
    return ops.sum(ops.square(whitened), axis=1, keepdims=True)
