"""What evaluation hands on: answers to test rows, gates, figures."""

from dataclasses import dataclass
from typing import Literal

from service.bundle.manifest import Metric, Name
from training.arrays import FloatArray, Mask, Scores
from training.evaluation.code_density import CodeDensity


@dataclass(frozen=True)
class HeldOutAnswers:
    """What the graphs answer to the test rows.

    Attributes:
        abnormal: Rows of classes that are not normal, (rows,).
        codes: Shape (rows, *code shape).
        outputs: Reconstructions in raw units, (rows, *row shape).
        scores: By name, each (rows,).
        corrupted: Rows with the noise that was trained against, or None without one.
        denoised: What the graphs make of those, or None.
    """

    abnormal: Mask
    codes: FloatArray
    outputs: FloatArray
    scores: dict[Name, Scores]
    corrupted: FloatArray | None
    denoised: FloatArray | None


@dataclass(frozen=True)
class GateResult:
    """One measured sign that a network learned, or that it did not.

    Attributes:
        name: Of the gate; also of its figure among the metrics.
        question: What it asks, for people.
        measured: The figure, on normal test rows.
        bound: What the figure must be beyond to pass; None where the gate does not bind.
        side: Whether the figure must be above or below the bound.
        finding: What was found, with the numbers, in one sentence.
        waived: Why a figure on the wrong side was published all the same, or None.
    """

    name: str
    question: str
    measured: float
    bound: float | None
    side: Literal["above", "below"]
    finding: str
    waived: str | None = None

    @property
    def state(self) -> Literal["passed", "informative", "waived", "refused"]:
        """Say what the gate means for publishing; a figure that is no number passes nothing."""
        if self.bound is None:
            return "informative"
        if self.measured > self.bound if self.side == "above" else self.measured < self.bound:
            return "passed"
        return "refused" if self.waived is None else "waived"


@dataclass(frozen=True)
class Assessment:
    """What is known of a model once every part of the data has been used.

    Attributes:
        density: The mixture over codes.
        calibration: Scores of calibration rows by name, each ascending, (n,).
        answers: What the graphs made of the test rows.
        metrics: All figures, those that others publish beside them.
        gates: Whether the network learned, one sign after another.
    """

    density: CodeDensity
    calibration: dict[Name, Scores]
    answers: HeldOutAnswers
    metrics: list[Metric]
    gates: tuple[GateResult, ...]
