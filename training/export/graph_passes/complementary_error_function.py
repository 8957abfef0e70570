"""``Erfc``, which TensorFlow has and ONNX has not: tf2onnx lets it through as it is."""

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.editing import Replacement


def write_erfc_as_erf(graph: ir.Graph) -> None:
    """Rewrite ``erfc(x)`` as ``1 - erf(x)``: the exact GELU is made of it.

    Args:
        graph: Changed in place.
    """
    for node in list(graph):
        if node.op_type == "Erfc":
            new = Replacement(graph)
            erf = new.node("Erf", node.inputs[0])
            new.replace([node], new.node("Sub", np.ones((), np.float32), erf))
