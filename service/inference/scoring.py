"""From anomaly scores to decisions with a stated error rate."""

import numpy as np

from service.arrays import Float64Array
from service.bundle.manifest import CALIBRATION_FILE
from service.bundle.storage import Bundle
from service.errors import BundleFileCorrupted, EmptyCalibration

Scores = Float64Array


def read_calibration(bundle: Bundle) -> dict[str, Scores]:
    """Return the calibration scores of a bundle, by score; empty for one without.

    Raises:
        BundleFileCorrupted: They are not as many as the manifest says, or not finite, ascending.
    """
    scores = bundle.manifest.anomaly.scores if bundle.manifest.anomaly else {}
    arrays = bundle.arrays(CALIBRATION_FILE) if CALIBRATION_FILE in bundle.files else {}
    calibration: dict[str, Scores] = {}
    for name, spec in scores.items():
        values = arrays.get(name, np.empty(0)).astype(np.float64)
        if values.shape != (spec.calibration_rows,):
            raise BundleFileCorrupted(
                f"{CALIBRATION_FILE}: {name} has shape {values.shape}, the manifest says"
                f" {spec.calibration_rows} rows"
            )
        if not np.isfinite(values).all() or (np.diff(values) < 0).any():
            raise BundleFileCorrupted(f"{CALIBRATION_FILE}: {name} is not finite and ascending")
        calibration[name] = values
    return calibration


def conformal_p_values(scores: Scores, calibration: Scores) -> Scores:
    """Turn anomaly scores into p-values with a finite-sample guarantee.

    On rows exchangeable with the calibration rows, P(p <= a) <= a for every a, so a threshold
    on p is a false-positive rate and needs no distribution.

    Args:
        scores: One score per row, shape (rows,), higher is more anomalous.
        calibration: Held-out normal scores, shape (n,), ascending, same units.

    Returns:
        ``(1 + #{calibration >= score}) / (n + 1)``, shape (rows,), in [1 / (n + 1), 1].

    Raises:
        EmptyCalibration: There are no calibration scores.

    Source: Bates, Candès, Lei, Romano, Sesia, Testing for outliers with conformal p-values,
        Annals of Statistics 2023.
    """
    rows = _require(calibration)
    at_least_as_high = rows - np.searchsorted(calibration, scores, side="left")
    return (1.0 + at_least_as_high) / (rows + 1)


def p_value_floor(calibration: Scores) -> float:
    """Return the smallest p-value that these calibration scores can give: 1 / (n + 1).

    Raises:
        EmptyCalibration: There are no calibration scores.
    """
    return 1.0 / (_require(calibration) + 1)


def threshold_at(false_positive_rate: float, calibration: Scores) -> float | None:
    """Return the score above which a row is an anomaly at a false-positive rate.

    With ``k = max{j : j / (n + 1) <= rate}`` it is the k-th largest calibration score. A score
    is strictly above it exactly when its conformal p-value is at most the rate.

    Args:
        false_positive_rate: In (0, 1).
        calibration: Held-out normal scores, shape (n,), ascending.

    Returns:
        The threshold in units of the score; None when k is 0: too few calibration rows to
        promise that rate, so nothing may be flagged.

    Raises:
        EmptyCalibration: There are no calibration scores.
    """
    rows = _require(calibration)
    k = int(false_positive_rate * (rows + 1))
    # The product is rounded; the definition compares quotients.
    while (k + 1) / (rows + 1) <= false_positive_rate:
        k += 1
    while k > 0 and k / (rows + 1) > false_positive_rate:
        k -= 1
    return float(calibration[rows - k]) if k else None


def discovery_threshold(
    p_values: Scores, false_discovery_rate: float, calibration: Scores
) -> float | None:
    """Return the score above which rows are anomalies at a false-discovery rate.

    The Benjamini-Hochberg step-up procedure over all rows of one request; with conformal
    p-values from one calibration set it controls the expected share of false discoveries.

    Args:
        p_values: Conformal p-values of the rows, shape (rows,).
        false_discovery_rate: In (0, 1).
        calibration: The scores that the p-values were taken against, ascending.

    Returns:
        The threshold in units of the score, or None when no row is an anomaly.

    Raises:
        EmptyCalibration: There are no calibration scores.

    Source: Benjamini and Hochberg 1995; for conformal p-values Bates et al. 2023, theorem 2.
    """
    rows = _require(calibration)
    ascending = np.sort(p_values)
    limits = false_discovery_rate * np.arange(1, len(ascending) + 1) / len(ascending)
    rejected = np.flatnonzero(ascending <= limits)
    if not rejected.size:
        return None
    k = round(float(ascending[rejected[-1]]) * (rows + 1))
    return float(calibration[rows - k])


def min_discoveries(rows: int, false_discovery_rate: float, calibration: Scores) -> int:
    """Return how many rows of a request must be at the p-value floor before any is flagged.

    Benjamini-Hochberg compares the j-th smallest of m p-values with ``j * rate / m``, and no
    p-value is below ``1 / (n + 1)``: one anomaly among many rows can be out of reach.

    Args:
        rows: Rows of the request, m.
        false_discovery_rate: In (0, 1).
        calibration: Held-out normal scores, shape (n,).

    Raises:
        EmptyCalibration: There are no calibration scores.
    """
    limits = false_discovery_rate * np.arange(1, rows + 1) / rows
    return int(np.searchsorted(limits, p_value_floor(calibration), side="left")) + 1


def _require(calibration: Scores) -> int:
    if not len(calibration):
        raise EmptyCalibration("this bundle was published without calibration scores")
    return len(calibration)
