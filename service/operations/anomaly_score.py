"""How anomalous rows are, and which of them are anomalies at a stated error rate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from service.arrays import BoolArray, FloatArray
from service.bundle.manifest import AnomalySpec, Manifest
from service.errors import InvalidInput
from service.inference.autoencoder import Autoencoder
from service.inference.scoring import (
    Scores,
    conformal_p_values,
    discovery_threshold,
    min_discoveries,
    p_value_floor,
    threshold_at,
)
from service.operations.operation import Work


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How to score.

    Attributes:
        score: Name of the score; the manifest's default when None.
        false_positive_rate: In (0, 1); the manifest's default when both rates are None.
        false_discovery_rate: In (0, 1); replaces the false-positive rate.
    """

    score: str | None = None
    false_positive_rate: float | None = None
    false_discovery_rate: float | None = None


@dataclass(frozen=True, slots=True)
class AnomalyDecision:
    """What the rows of one request score, and which of them are anomalies.

    Attributes:
        score: Name of the score.
        scores: Shape (rows,), higher is more anomalous.
        p_values: Conformal p-values, shape (rows,).
        anomalies: Shape (rows,).
        threshold: Rows strictly above it are anomalies; None when nothing can be flagged.
        calibration_rows: How many normal scores the p-values were taken against.
        p_value_floor: Smallest p-value that so many rows can give.
        warnings: Sentences about what the result cannot promise.
    """

    score: str
    scores: FloatArray
    p_values: Scores
    anomalies: BoolArray
    threshold: float | None
    calibration_rows: int
    p_value_floor: float
    warnings: tuple[str, ...]

    def fields(self) -> Mapping[str, Any]:
        """Name everything, and warnings where there are any."""
        fields: dict[str, Any] = {
            "score": self.score,
            "scores": self.scores,
            "p_values": self.p_values,
            "anomalies": self.anomalies,
            "threshold": self.threshold,
            "calibration_rows": self.calibration_rows,
            "p_value_floor": self.p_value_floor,
        }
        if self.warnings:
            fields["warnings"] = list(self.warnings)
        return fields


class AnomalyScore:
    """Scores rows and decides at a false-positive or false-discovery rate."""

    name: Literal["anomaly-score"] = "anomaly-score"
    takes: Literal["inputs"] = "inputs"

    def is_supported_by(self, manifest: Manifest) -> bool:
        """Whether there are scores."""
        return manifest.anomaly is not None

    async def run(self, autoencoder: Autoencoder, work: Work[ScoreOptions]) -> AnomalyDecision:
        """Score rows; see ``Operation.run``.

        Raises:
            InvalidInput: There is no such score, or a rate is not in (0, 1).
            EmptyCalibration: The score has no calibration scores.
        """
        options = work.options
        _check_rate("false_positive_rate", options.false_positive_rate)
        _check_rate("false_discovery_rate", options.false_discovery_rate)
        anomaly = _anomaly_of(autoencoder.manifest)
        name = options.score or anomaly.default_score
        if name not in anomaly.scores:
            detail = f"model {autoencoder.manifest.name} has the scores {', '.join(anomaly.scores)}"
            raise InvalidInput.at("/score", detail)
        graph = anomaly.scores[name].graph
        outputs = await autoencoder.run(graph, work.rows, work.conditions, work.context)
        rate = options.false_positive_rate
        if rate is None:
            rate = anomaly.default_false_positive_rate
        calibration = autoencoder.calibration.get(name, np.empty(0))
        return _decide(name, outputs[0], calibration, rate, options.false_discovery_rate)


def _decide(
    name: str,
    scores: FloatArray,
    calibration: Scores,
    false_positive_rate: float,
    false_discovery_rate: float | None,
) -> AnomalyDecision:
    exact = scores.astype(np.float64)
    p_values = conformal_p_values(exact, calibration)
    floor = p_value_floor(calibration)
    if false_discovery_rate is not None:
        rate_name = "false-discovery rate"
        threshold = discovery_threshold(p_values, false_discovery_rate, calibration)
        rows_needed = min_discoveries(len(scores), false_discovery_rate, calibration)
    else:
        rate_name = "false-positive rate"
        threshold = threshold_at(false_positive_rate, calibration)
        rows_needed = 1 if floor <= false_positive_rate else len(scores) + 1
    warnings = ()
    if threshold is None:
        warnings = _warnings(len(calibration), rate_name, rows_needed, len(scores))
    return AnomalyDecision(
        score=name,
        scores=scores,
        p_values=p_values,
        anomalies=exact > (np.inf if threshold is None else threshold),
        threshold=threshold,
        calibration_rows=len(calibration),
        p_value_floor=floor,
        warnings=warnings,
    )


def thresholds_by_rate(
    autoencoder: Autoencoder, false_positive_rates: tuple[float, ...]
) -> dict[str, dict[str, float | None]]:
    """Tabulate, for every calibrated score, the threshold at each false-positive rate.

    Example:
        >>> thresholds_by_rate(autoencoder, (0.01, 0.05))
        {'reconstruction-error': {'0.01': 0.1637, '0.05': 0.1221}}
    """
    return {
        name: {f"{rate:g}": threshold_at(rate, calibration) for rate in false_positive_rates}
        for name, calibration in autoencoder.calibration.items()
        if calibration.size
    }


def _anomaly_of(manifest: Manifest) -> AnomalySpec:
    assert manifest.anomaly  # noqa: S101  # the operation is supported
    return manifest.anomaly


def _warnings(
    calibration_rows: int, rate_name: str, rows_needed: int, rows: int
) -> tuple[str, ...]:
    too_few = f"{calibration_rows} calibration rows are too few for a {rate_name} this small"
    if rows_needed > rows:
        return (f"{too_few}: no row can be flagged",)
    if rows_needed > 1:
        return (f"{too_few} to flag fewer than {rows_needed} of the {rows} rows",)
    return ()


def _check_rate(name: str, rate: float | None) -> None:
    if rate is not None and not 0 < rate < 1:
        raise InvalidInput.at(f"/{name}", f"{name} is not between 0 and 1")
