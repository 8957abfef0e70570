"""From values of several views to tail probabilities, as two matrix products.

The empirical survival function of validation rows is interpolated at a few knots. Beyond the last
one it decreases as a power law, whose exponent is Hill's estimate, so that rows keep their order
however far they are.
"""

from collections.abc import Sequence

import numpy as np

from training.arrays import FloatArray
from training.export.scorer import Constants
from training.tensors import Tensor, ops

KNOTS = 32
# Of the validation rows: the largest ones, which the power law is fitted to.
TAIL_SHARE = 0.1
# Logarithms of float32 are under 89: the last segment has no end.
LAST_WIDTH = 256.0
# Rounding errors of values are multiplied by height over width.
MIN_WIDTH = 0.02
MIN_MEAN_EXCESS = 0.05


def fit_tails(values: FloatArray, columns: Sequence[int]) -> Constants:
    """Fit the survival function of each view.

    A segment between two knots contributes its height times how much of it a value has passed, a
    number in [0, 1]. A sum of such terms never decreases, in single precision neither.

    Args:
        values: Logarithms of what is measured on validation rows, (rows, values).
        columns: Which of the values are views.

    Returns:
        Constants for ``tail_nats``.

    Source: Hill, A simple general approach to inference about the tail of a distribution, Annals
        of Statistics 1975.
    """
    segments = [_segments(np.sort(values[:, column].astype(np.float64))) for column in columns]
    starts, widths, heights = (np.concatenate(part) for part in zip(*segments, strict=True))
    # Both have one row per segment, which is 1 at its view.
    of_view = np.repeat(np.eye(len(columns)), KNOTS, axis=0)
    of_value = np.repeat(np.eye(values.shape[1])[columns], KNOTS, axis=0)
    constants = {
        "tail_scales": of_value.T / widths,
        "tail_offsets": -starts / widths,
        "tail_heights": of_view * heights[:, np.newaxis],
    }
    return {name: array.astype(np.float32) for name, array in constants.items()}


def tail_nats(constants: Constants, values: Tensor) -> Tensor:
    """Compute ``-log p``, p being the share of validation rows whose value is as large.

    Args:
        constants: The result of ``fit_tails``, among others.
        values: Shape (rows, values).

    Returns:
        Shape (rows, views), at least 0.
    """
    passed = values @ constants["tail_scales"] + constants["tail_offsets"]
    return ops.clip(passed, 0.0, 1.0) @ constants["tail_heights"]


def _segments(ascending: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return start, width and height of each segment; heights are in nats."""
    rows = len(ascending)
    last = rows - 1 - int(TAIL_SHARE * rows)
    chosen = np.linspace(0, last, KNOTS).round().astype(int)
    knots, nats = ascending[chosen], -np.log((rows - chosen) / (rows + 1))
    excess = max(float((ascending[last:] - ascending[last]).mean()), MIN_MEAN_EXCESS)
    widths = np.maximum(np.diff(knots), MIN_WIDTH)
    return (
        knots,
        np.append(widths, LAST_WIDTH),
        np.append(np.diff(nats), LAST_WIDTH / excess),
    )
