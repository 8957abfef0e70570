"""How rare a row is among normal rows, in several views together.

- error: mean squared error of the reconstruction;
- local: largest deviation of one value from its reconstruction, relative to that of the same value
  in validation rows;
- code: distance of the code from the codes of training rows;
- statistics, of images and series: how unusual mean, contrast, roughness and error are together,
  in whichever direction. Rows that are too easy to reconstruct are seen here.
"""

from typing import NamedTuple

import numpy as np

from training.arrays import FloatArray
from training.export.scorer import Constants, FittingData, Scorer
from training.export.scorers.code_distance import code_distances, fit_code_distance
from training.export.scorers.row_statistics import (
    fit_statistics,
    has_statistics,
    row_means,
    row_statistics,
    statistics_distances,
)
from training.export.scorers.tail_probabilities import fit_tails, tail_nats
from training.networks.autoencoder import Autoencoder
from training.tensors import Tensor, ops, to_numpy

# Squares of rows that are far away stay finite: it is their logarithms that are compared.
MAX_MAGNITUDE = 1e36
# Of the median of a magnitude, added before its logarithm: being easy has an end. At least what
# rounding errors are small beside.
RELATIVE_FLOOR = 0.1
MIN_FLOORS = (1e-8, 0.1, 0.1, 1e-8, 1e-8)
# Of the root mean square of all residuals: for values that are always reconstructed.
MIN_RELATIVE_SCALE = 0.1
MIN_SCALE = 1e-4
# Columns of an image's or a series' values: mean, logarithms of the five magnitudes in their order,
# and of the distance of its statistics.
STATISTICS = [0, 1, 4, 5]
VIEWS = [1, 2, 3, 6]
# Of error, largest deviation, code, statistics. The error sees most real anomalies; what is easy,
# far or faulty is so rare in the other views that it is seen with a small weight too.
WEIGHTS = (3, 1, 1, 1)


class Measures(NamedTuple):
    """What is measured of rows, before anything is compared with validation rows.

    Attributes:
        deviations: Of each value from its reconstruction, relative to the scale of that value,
            (rows, *row shape).
        magnitudes: Positive and without an upper end, (rows, 3), or (rows, 5) with statistics:
            error, largest deviation, distance of the code; variance, roughness.
        means: Of each row, (rows, 1); None without statistics.
    """

    deviations: Tensor
    magnitudes: Tensor
    means: Tensor | None


class Atypicality(Scorer):
    """The weighted harmonic mean of the views' tail probabilities, as its negative logarithm.

    Which share of validation rows is as far out is known view by view, so that views of different
    units can be compared. Their harmonic mean is decided by the smallest, and is smaller still
    where several views agree. The views depend on each other, so that it is not a p-value itself;
    calibration rows make it one, as any score.

    Source: Wilson, The harmonic mean p-value for combining dependent tests, PNAS 2019.
    """

    description = (
        "How rare among normal rows a row is: its reconstruction error, its largest deviation of"
        " one value, its code, and mean, contrast and roughness of an image or a series."
    )
    units = "nats"

    def fit(self, data: FittingData) -> Constants:
        """Return scales of residuals, the density of codes, and the tails of all views."""
        codes, scale = _codes_and_scale(data)
        constants: dict[str, FloatArray] = {
            "scale": scale,
            **fit_code_distance(data.mixture, codes),
        }
        measures = _of_validation_rows(data, constants)
        medians = np.median(measures.magnitudes, axis=0)
        floors = np.maximum(RELATIVE_FLOOR * medians, MIN_FLOORS[: len(medians)])
        constants["floors"] = floors.astype(np.float32)
        logarithms = _logarithms(constants, measures)
        if measures.means is None:
            return {**constants, **fit_tails(to_numpy(logarithms), [0, 1, 2])}
        constants |= fit_statistics(to_numpy(logarithms), STATISTICS)
        views = _with_statistics(constants, logarithms)
        return {**constants, **fit_tails(to_numpy(views), VIEWS)}

    def score(
        self,
        autoencoder: Autoencoder,
        constants: Constants,
        rows: Tensor,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return nats, and the deviation of every value in its standard deviations."""
        measures = _measure(autoencoder, constants, rows, conditions)
        values = _logarithms(constants, measures)
        if measures.means is not None:
            values = _with_statistics(constants, values)
        nats = tail_nats(constants, values)
        largest = ops.max(nats, axis=1, keepdims=True)
        inverse = ops.exp(nats - largest) @ _weights(nats.shape[1])
        return ops.reshape(largest + ops.log(inverse), (-1,)), measures.deviations


def _weights(views: int) -> FloatArray:
    weights = np.array(WEIGHTS[:views], np.float32)
    return (weights / weights.sum())[:, np.newaxis]


def _measure(
    autoencoder: Autoencoder, constants: Constants, rows: Tensor, conditions: Tensor | None
) -> Measures:
    codes = autoencoder.encode(rows, conditions)[0]
    residuals = autoencoder.decode(codes, conditions) - rows
    deviations = ops.abs(residuals) * (1 / constants["scale"])
    value_axes = tuple(range(1, len(rows.shape)))
    largest = ops.max(deviations, axis=value_axes, keepdims=True)
    distances = ops.reshape(code_distances(constants, codes), (-1, *largest.shape[1:]))
    magnitudes, means = [row_means(ops.square(residuals)), largest, distances], None
    if has_statistics(rows):
        means, *statistics = row_statistics(rows)
        means, magnitudes = ops.reshape(means, (-1, 1)), magnitudes + statistics
    together = ops.concatenate(magnitudes, axis=1)
    return Measures(deviations, ops.reshape(together, (-1, len(magnitudes))), means)


def _logarithms(constants: Constants, measures: Measures) -> Tensor:
    """Return logarithms of the magnitudes, after the means if there are any, (rows, values)."""
    magnitudes = ops.minimum(measures.magnitudes, MAX_MAGNITUDE)
    logarithms = ops.log(magnitudes + constants["floors"])
    if measures.means is None:
        return logarithms
    return ops.concatenate([measures.means, logarithms], axis=1)


def _with_statistics(constants: Constants, logarithms: Tensor) -> Tensor:
    """Add the distance of the statistics as one more value."""
    distances = ops.minimum(statistics_distances(constants, logarithms), MAX_MAGNITUDE)
    return ops.concatenate([logarithms, ops.log(1.0 + distances)], axis=1)


def _codes_and_scale(data: FittingData) -> tuple[FloatArray, FloatArray]:
    """Return the codes of validation rows, and the root mean square residual of each value."""
    codes: list[FloatArray] = []
    squares = np.zeros(())
    for rows, conditions in data.validation.batches():
        codes.append(to_numpy(data.autoencoder.encode(rows, conditions)[0]))
        residuals = to_numpy(data.autoencoder.decode(codes[-1], conditions)) - rows
        squares = squares + np.square(residuals, dtype=np.float64).sum(axis=0)
    variances = squares / len(data.validation)
    floor = MIN_RELATIVE_SCALE * np.sqrt(variances.mean()) + MIN_SCALE
    return np.concatenate(codes), np.maximum(np.sqrt(variances), floor).astype(np.float32)


def _of_validation_rows(data: FittingData, constants: Constants) -> Measures:
    """Measure validation rows; deviations are left out."""
    batches = [
        _measure(data.autoencoder, constants, rows, conditions)
        for rows, conditions in data.validation.batches()
    ]
    magnitudes = np.concatenate([to_numpy(batch.magnitudes) for batch in batches])
    means = [to_numpy(batch.means) for batch in batches if batch.means is not None]
    return Measures(None, magnitudes, np.concatenate(means) if means else None)
