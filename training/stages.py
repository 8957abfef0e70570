"""What each step of a run hands to the next: a trained model, its graphs, its assessment."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from service.arrays import FloatArray
from service.bundle.manifest import DECODER, ENCODER, GraphSignature, Metric, Name
from service.inference.scoring import Scores
from training.architectures.autoencoder import Autoencoder
from training.datasets import Dataset
from training.history import EpochRecord
from training.inference import GraphRunner
from training.latent_density import CodeDensity
from training.metrics import Mask
from training.preprocessing import Scaling
from training.recipe import Recipe
from training.scorers import scorer_graph_name
from training.splitting import Split


@dataclass(frozen=True)
class TrainedModel:
    """A model whose weights are final, and all that they were made from.

    Attributes:
        recipe: What was to be done.
        dataset: What it was done to.
        split: The four parts.
        scaling: Between raw units and what the network sees.
        autoencoder: With the weights of the best epoch.
        history: All epochs of the whole.
        metrics: The objective on normal validation and test rows, as training computes it.
        stages: The epochs before, in which layers were fitted one after another, if they were.
    """

    recipe: Recipe
    dataset: Dataset
    split: Split
    scaling: Scaling
    autoencoder: Autoencoder
    history: list[EpochRecord]
    metrics: list[Metric]
    stages: list[EpochRecord] = field(default_factory=list[EpochRecord])

    @property
    def all_epochs(self) -> list[EpochRecord]:
        """Every epoch that was run, those of stages first."""
        return [*self.stages, *self.history]


@dataclass(frozen=True)
class ExportedModel:
    """The graphs of a model, proven to compute what Keras computes.

    Attributes:
        graphs: Signature and ONNX bytes, by graph name.
        runner: Runs them as the service will.
        parity_error: Their largest deviation from Keras, relative to ``max(1, max |Keras|)``.
    """

    graphs: dict[str, tuple[GraphSignature, bytes]]
    runner: GraphRunner
    parity_error: float

    def encode(self, rows: FloatArray, conditions: FloatArray | None = None) -> FloatArray:
        """Return the codes of raw rows, (rows, *code shape).

        Args:
            rows: Shape (rows, *row shape).
            conditions: Shape (rows, 1) for a conditional model, else None; in all calls alike.
        """
        return self.run(ENCODER, rows, conditions)[0]

    def decode(self, codes: FloatArray, conditions: FloatArray | None = None) -> FloatArray:
        """Return the raw rows of codes, (rows, *row shape)."""
        return self.run(DECODER, codes, conditions)[0]

    def reconstruct(self, rows: FloatArray, conditions: FloatArray | None = None) -> FloatArray:
        """Encode and decode raw rows as the service does."""
        return self.decode(self.encode(rows, conditions), conditions)

    def score(self, score: Name, rows: FloatArray, conditions: FloatArray | None = None) -> Scores:
        """Score raw rows, (rows,)."""
        return self.run(scorer_graph_name(score), rows, conditions)[0].astype(np.float64)

    def run(
        self, graph: str, rows: FloatArray, conditions: FloatArray | None
    ) -> tuple[FloatArray, ...]:
        """Run a graph, with conditions where it takes them, and return all its outputs."""
        return self.runner.run(graph, *self._inputs(graph, rows, conditions))

    def graph_inputs(
        self, rows: FloatArray, conditions: FloatArray | None = None
    ) -> dict[str, tuple[FloatArray, ...]]:
        """Return real inputs for every graph: codes for the decoder, the rows for the others."""
        codes = self.encode(rows, conditions)
        return {
            name: self._inputs(name, codes if name == DECODER else rows, conditions)
            for name in self.graphs
        }

    def _inputs(
        self, graph: str, rows: FloatArray, conditions: FloatArray | None
    ) -> tuple[FloatArray, ...]:
        signature, _ = self.graphs[graph]
        if len(signature.inputs) == 1 or conditions is None:
            return (rows,)
        return rows, conditions


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
