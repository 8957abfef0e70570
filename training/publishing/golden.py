"""Golden vectors: what every graph computes when it is published, and on every later load."""

from service.inference.verification import golden_key
from training.arrays import FloatArray
from training.export.exported_model import ExportedModel


def golden_vectors(
    exported: ExportedModel, rows: FloatArray, conditions: FloatArray | None = None
) -> dict[str, FloatArray]:
    """Record what every graph computes now, for every later load to compare with.

    Args:
        exported: The graphs.
        rows: A few rows in raw units, (rows, *row shape).
        conditions: Of them, (rows, 1), for a conditional model, else None.

    Returns:
        Inputs and outputs of every graph, by the names that ``golden.npz`` has for them.
    """
    vectors: dict[str, FloatArray] = {}
    for graph, inputs in exported.graph_inputs(rows, conditions).items():
        signature, _ = exported.graphs[graph]
        outputs = exported.runner.run(graph, *inputs)
        for specs, arrays in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for spec, array in zip(specs, arrays, strict=True):
                vectors[golden_key(graph, spec.name)] = array
    return vectors
