"""Parity: an exported graph computes what Keras computes, within a tolerance."""

import numpy as np

from service.inference.session import Session
from training.arrays import FloatArray
from training.errors import ParityMismatch
from training.export.graph_functions import GraphFunction
from training.tensors import to_numpy

# Relative to max(1, max |expected|): absolute for small values, since a sigmoid saturates
# differently in onnxruntime, and relative for large ones.
TOLERANCE = 1e-4
BATCH_SIZES = (1, 7)


def relative_deviation(found: FloatArray, expected: FloatArray) -> float:
    """Return ``max |found - expected| / max(1, max |expected|)``; NaN if either has a NaN."""
    return float(np.max(np.abs(found - expected)) / max(1.0, float(np.max(np.abs(expected)))))


def check_parity(graph: GraphFunction, session: Session, *inputs: FloatArray) -> float:
    """Run a graph in Keras and in onnxruntime, on 1 row and on 7, and compare.

    Args:
        graph: The Keras function.
        session: The exported graph.
        inputs: At least 7 real rows of each input of the graph, each (rows, ...).

    Returns:
        The largest deviation relative to ``max(1, max |Keras|)``.

    Raises:
        ParityMismatch: Shapes differ, or the deviation is above the tolerance or NaN.
    """
    worst = 0.0
    for size in BATCH_SIZES:
        batch = [np.ascontiguousarray(array[:size]) for array in inputs]
        expected = [to_numpy(output) for output in graph.function(*batch)]
        found = session.run(*batch)
        for spec, ours, theirs in zip(graph.signature.outputs, found, expected, strict=True):
            place = f"{graph.signature.file}: {spec.name} of {size} rows"
            if ours.shape != theirs.shape:
                raise ParityMismatch(f"{place} has shape {ours.shape}, in Keras {theirs.shape}")
            deviation = relative_deviation(ours, theirs)
            if not deviation <= TOLERANCE:
                raise ParityMismatch(
                    f"{place} deviates from Keras by {deviation:.2g}, allowed is {TOLERANCE:.2g}"
                )
            worst = max(worst, deviation)
    return worst
