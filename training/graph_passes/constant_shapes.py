"""Tensors of one value that are as large as a batch, as constants of one row."""

import numpy as np
import onnx_ir as ir

from training.graph_passes.editing import Replacement, is_batch, producer, row_shape


def write_filled_tensors_as_rows(graph: ir.Graph) -> None:
    """Rewrite ``Mul(rows, ConstantOfShape(Shape(rows)))``, how TensorFlow repeats a row's numbers.

    A constant of one row is repeated along the batch by the multiplication itself, and needs
    no arithmetic with shapes.

    Args:
        graph: Changed in place; its shapes must have been inferred.
    """
    for node in list(graph):
        if node.op_type != "Mul":
            continue
        for position, other in ((0, 1), (1, 0)):
            filled = producer(node.inputs[position], "ConstantOfShape")
            shape = producer(filled.inputs[0], "Shape") if filled else None
            row = row_shape(shape.inputs[0]) if shape else None
            if filled is None or shape is None or row is None or shape.attributes:
                continue
            rank_kept = len(row_shape(node.inputs[other]) or ()) == len(row)
            if is_batch(shape.inputs[0]) and is_batch(node.inputs[other]) and rank_kept:
                value = filled.attributes.get("value")
                number = value.as_tensor().numpy().item() if value else 0.0
                new = Replacement(graph)
                product = new.node(
                    "Mul", node.inputs[other], np.full((1, *row), number, np.float32)
                )
                new.replace([node], product)
                break
