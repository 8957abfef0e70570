"""The result of export: the graphs of a model, compared with Keras, and its code density."""

from dataclasses import dataclass

import numpy as np

from service.bundle.manifest import DECODER, ENCODER, GraphSignature, Name
from training.arrays import FloatArray, Scores
from training.export.code_density import CodeDensity
from training.export.graph_runner import GraphRunner
from training.export.scorer_registry import scorer_graph_name


@dataclass(frozen=True)
class ExportedModel:
    """The graphs of a model, compared with Keras, and the density of its codes.

    Attributes:
        graphs: Signature and ONNX bytes, by graph name.
        density: Mixture over the codes of training rows, which scores and priors share.
        runner: Runs them with the service's code.
        parity_error: Largest deviation from Keras, relative to ``max(1, max |Keras|)``.
    """

    graphs: dict[str, tuple[GraphSignature, bytes]]
    density: CodeDensity
    runner: GraphRunner
    parity_error: float

    def encode(self, rows: FloatArray, conditions: FloatArray | None = None) -> FloatArray:
        """Return the codes of raw rows, (rows, *code shape).

        Args:
            rows: Shape (rows, *row shape).
            conditions: Shape (rows, 1) for a conditional model, else None; as in all methods.
        """
        return self.run(ENCODER, rows, conditions)[0]

    def decode(self, codes: FloatArray, conditions: FloatArray | None = None) -> FloatArray:
        """Return the raw rows of codes, (rows, *row shape)."""
        return self.run(DECODER, codes, conditions)[0]

    def reconstruct(self, rows: FloatArray, conditions: FloatArray | None = None) -> FloatArray:
        """Encode and decode raw rows, (rows, *row shape)."""
        return self.decode(self.encode(rows, conditions), conditions)

    def score(self, score: Name, rows: FloatArray, conditions: FloatArray | None = None) -> Scores:
        """Score raw rows, (rows,)."""
        return self.run(scorer_graph_name(score), rows, conditions)[0].astype(np.float64)

    def run(
        self, graph: str, rows: FloatArray, conditions: FloatArray | None
    ) -> tuple[FloatArray, ...]:
        """Run a graph, with conditions if it has an input for them, and return its outputs."""
        return self.runner.run(graph, *self._inputs(graph, rows, conditions))

    def graph_inputs(
        self, rows: FloatArray, conditions: FloatArray | None = None
    ) -> dict[str, tuple[FloatArray, ...]]:
        """Return inputs for every graph: codes for the decoder, rows for the others."""
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
