"""``Erfc``, an operator of TensorFlow that ONNX does not have and tf2onnx does not convert."""

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.editing import Replacement


def write_erfc_as_erf(graph: ir.Graph) -> None:
    """Rewrite ``erfc(x)``, a part of the exact GELU, as ``1 - erf(x)``.

    Args:
        graph: Changed in place.
    """
    for node in list(graph):
        if node.op_type == "Erfc":
            new = Replacement(graph)
            erf = new.node("Erf", node.inputs[0])
            new.replace([node], new.node("Sub", np.ones((), np.float32), erf))
