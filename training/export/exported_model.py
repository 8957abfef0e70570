"""What export hands on: the graphs of a model, proven to compute what Keras computes."""

from dataclasses import dataclass

import numpy as np

from service.bundle.manifest import DECODER, ENCODER, GraphSignature, Name
from training.arrays import FloatArray, Scores
from training.export.graph_runner import GraphRunner
from training.export.scorers import scorer_graph_name


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
