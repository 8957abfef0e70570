"""The result of evaluation: outputs for test rows, gates, metrics, calibration."""

from dataclasses import dataclass
from typing import Literal

from service.bundle.manifest import Metric, Name
from training.arrays import FloatArray, Mask, Scores


@dataclass(frozen=True)
class HeldOutResults:
    """Outputs of the graphs for the test rows.

    Attributes:
        abnormal: Rows of classes that are not normal, (rows,).
        codes: Shape (rows, *code shape).
        reconstructions: In raw units, (rows, *row shape).
        scores: By name, each (rows,).
        corrupted: Rows with the noise of training, or None without noise.
        denoised: Reconstructions of the corrupted rows, or None.
    """

    abnormal: Mask
    codes: FloatArray
    reconstructions: FloatArray
    scores: dict[Name, Scores]
    corrupted: FloatArray | None
    denoised: FloatArray | None


@dataclass(frozen=True)
class GateResult:
    """What one gate measured, and whether it passed.

    Attributes:
        name: Of the gate, and of its figure among the metrics.
        question: The question that the gate answers, for people.
        measured: The figure, on normal test rows.
        bound: Threshold of the figure; None for a gate that is informative only.
        side: Whether the figure must be above or below the bound.
        finding: The figures in one sentence.
        waived: Reason for publishing although the gate failed, or None.
    """

    name: str
    question: str
    measured: float
    bound: float | None
    side: Literal["above", "below"]
    finding: str
    waived: str | None = None

    @property
    def state(self) -> Literal["passed", "informative", "waived", "failed"]:
        """Whether the gate permits publishing; a figure of NaN fails."""
        if self.bound is None:
            return "informative"
        if self.measured > self.bound if self.side == "above" else self.measured < self.bound:
            return "passed"
        return "failed" if self.waived is None else "waived"


@dataclass(frozen=True)
class Assessment:
    """All that is measured of a model.

    Attributes:
        calibration: Scores of calibration rows by name, each ascending, (n,).
        results: Outputs of the graphs for the test rows.
        metrics: All figures, with those that others publish beside them.
        gates: The gates, in order.
    """

    calibration: dict[Name, Scores]
    results: HeldOutResults
    metrics: list[Metric]
    gates: tuple[GateResult, ...]
