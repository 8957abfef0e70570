"""Constants in the shape of a row, in place of broadcast constants and computed shapes."""

import math

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.editing import (
    Replacement,
    constant,
    is_batch,
    new_constant,
    only_consumer,
    producer,
    row_shape,
)

# onnxruntime broadcasts along a short last axis up to fifty times slower than it adds a whole row.
# Longer axes are fast, and the constants of larger rows would make the graph too large.
SHORT_AXIS = 16
MAX_VALUES = 2**16


def spread_constants_over_rows(graph: ir.Graph) -> None:
    """Repeat constants over whole rows where the last axis is short.

    Args:
        graph: Changed in place; its shapes must have been inferred.
    """
    for node in graph:
        if node.op_type not in {"Add", "Sub", "Mul", "Div"}:
            continue
        for position, other in ((0, 1), (1, 0)):
            number, row = constant(node.inputs[position]), row_shape(node.inputs[other])
            if number is None or row is None or not is_batch(node.inputs[other]):
                continue
            worth_it = len(row) > 1 and row[-1] < SHORT_AXIS and math.prod(row) <= MAX_VALUES
            fits = number.ndim <= len(row) and np.broadcast_shapes(number.shape, row) == row
            if worth_it and fits and number.shape != row:
                whole = np.broadcast_to(number, row)
                node.replace_input_with(position, new_constant(graph, whole))


def write_shapes_of_dense_inputs(graph: ir.Graph) -> None:
    """Make the shape of a dense layer's input, where pixels or steps are its rows, constant.

    TensorFlow computes the shape from the batch. It follows from the layer's weights, but for the
    number of rows.

    Args:
        graph: Changed in place; its shapes must have been inferred.
    """
    for node in list(graph):
        if node.op_type != "Reshape" or constant(node.inputs[1]) is not None:
            continue
        product = only_consumer(node.outputs[0], "MatMul")
        kernel = constant(product.inputs[1]) if product else None
        source, result = row_shape(node.inputs[0]), node.outputs[0].shape
        if source and result is not None and len(result) == 2 and kernel is not None:
            # Of two axes; the second is as long as the kernel's first.
            node.replace_input_with(1, new_constant(graph, np.array([-1, kernel.shape[0]])))


def write_filled_tensors_as_rows(graph: ir.Graph) -> None:
    """Rewrite ``Mul(rows, ConstantOfShape(Shape(rows)))`` as a product with one constant row.

    The multiplication broadcasts the row along the batch, and no shape has to be computed.

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
