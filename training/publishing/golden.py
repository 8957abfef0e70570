"""Golden vectors: inputs and outputs of every graph, replayed whenever a bundle is loaded."""

from service.catalog.verification import golden_key
from training.arrays import FloatArray
from training.export.exported_model import ExportedModel


def golden_vectors(
    exported: ExportedModel, rows: FloatArray, conditions: FloatArray | None = None
) -> dict[str, FloatArray]:
    """Run every graph on a few rows, and return its inputs and outputs.

    Args:
        exported: The graphs.
        rows: A few rows in raw units, (rows, *row shape).
        conditions: Shape (rows, 1) for a conditional model, else None.

    Returns:
        Arrays by their names in ``golden.npz``.
    """
    vectors: dict[str, FloatArray] = {}
    for graph, inputs in exported.graph_inputs(rows, conditions).items():
        signature, _ = exported.graphs[graph]
        outputs = exported.runner.run(graph, *inputs)
        for specs, arrays in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for spec, array in zip(specs, arrays, strict=True):
                vectors[golden_key(graph, spec.name)] = array
    return vectors
