"""Removal of transpositions between channels-last and channels-first.

Keras has channels last, onnxruntime's convolutions channels first. tf2onnx transposes at the inputs
and outputs of a graph, and between convolutions and dense layers.
"""

import math

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.constant_propagation import (
    LAYOUT_OPERATORS,
    propagate_constant_backward,
    propagate_constant_forward,
)
from training.export.graph_passes.dense_layers import as_dense_layer
from training.export.graph_passes.editing import (
    ELEMENTWISE_ACTIVATIONS,
    Replacement,
    bypass,
    is_batch,
    only_consumer,
    producer,
    row_shape,
    write_weights,
)


def reshape_single_channels(graph: ir.Graph) -> None:
    """Rewrite a ``Transpose`` that moves only axes of length 1 as a ``Reshape``, without a copy.

    Args:
        graph: Changed in place; its shapes must have been inferred.
    """
    for node in list(graph):
        source, result = row_shape(node.inputs[0] if node.inputs else None), None
        if node.op_type == "Transpose" and source is not None and is_batch(node.inputs[0]):
            result = propagate_constant_forward(node, np.arange(math.prod(source)).reshape(source))
        if result is not None and (np.diff(result.ravel()) == 1).all():
            new = Replacement(graph)
            new.replace([node], new.node("Reshape", node.inputs[0], np.array([-1, *result.shape])))


def merge_reshapes(graph: ir.Graph) -> None:
    """Merge consecutive ``Reshape`` nodes into one, and remove those that keep the shape.

    Args:
        graph: Changed in place; its shapes must have been inferred.
    """
    for node in list(graph):
        if node.op_type != "Reshape" or not is_batch(node.inputs[0]):
            continue
        source, target = node.inputs[0], row_shape(node.outputs[0])
        if (
            source is None
            or target is None
            or math.prod(target) != math.prod(row_shape(source) or ())
        ):
            continue
        if before := producer(source, "Reshape"):
            new = Replacement(graph)
            new.replace(
                [before, node], new.node("Reshape", before.inputs[0], np.array([-1, *target]))
            )
        elif row_shape(source) == target and not node.outputs[0].is_graph_output():
            bypass(graph, node, source)


def reorder_dense_weights(graph: ir.Graph) -> None:
    """Reorder the weights of a dense layer in place of a ``Transpose`` before or after it.

    Args:
        graph: Changed in place; its shapes must have been inferred.
    """
    for node in list(graph):
        if node.op_type != "Transpose" or not is_batch(node.inputs[0]):
            continue
        if not _into_following_layer(graph, node):
            _into_preceding_layer(graph, node)


def _into_following_layer(graph: ir.Graph, transpose: ir.Node) -> bool:
    shape, value = row_shape(transpose.inputs[0]), transpose.outputs[0]
    order = (
        None
        if shape is None
        else propagate_constant_forward(transpose, np.arange(math.prod(shape)).reshape(shape))
    )
    while order is not None and (reshape := only_consumer(value, "Reshape")):
        order, value = propagate_constant_forward(reshape, order), reshape.outputs[0]
    dense = as_dense_layer(only_consumer(value, "Gemm"))
    if dense is None or order is None or transpose.inputs[0] is None:
        return False
    kernel = np.empty_like(dense.kernel)
    kernel[order] = dense.kernel
    write_weights(graph, dense.node, kernel, dense.bias)
    new = Replacement(graph)
    flat = new.node("Reshape", transpose.inputs[0], np.array([-1, order.size]))
    new.replace(_path(transpose, dense.node), flat)
    return True


def _into_preceding_layer(graph: ir.Graph, transpose: ir.Node) -> None:
    shape, value = row_shape(transpose.outputs[0]), transpose.inputs[0]
    order = None if shape is None else np.arange(math.prod(shape)).reshape(shape)
    order = None if order is None else propagate_constant_backward(transpose, order)
    while order is not None and (node := producer(value, "Reshape", *ELEMENTWISE_ACTIVATIONS)):
        if node.op_type in LAYOUT_OPERATORS:
            order = propagate_constant_backward(node, order)
        value = node.inputs[0]
    dense = as_dense_layer(producer(value, "Gemm"))
    if dense is None or order is None or shape is None:
        return
    # order[u]: position of unit u after the transposition.
    columns = np.argsort(order)
    write_weights(graph, dense.node, dense.kernel[:, columns], dense.bias[columns])
    new = Replacement(graph)
    new.replace([transpose], new.node("Reshape", transpose.inputs[0], np.array([-1, *shape])))


def _path(first: ir.Node, end: ir.Node) -> list[ir.Node]:
    """Return the chain of nodes from ``first`` to the producer of the input of ``end``."""
    path = [first]
    while (reader := only_consumer(path[-1].outputs[0], "Reshape")) and reader is not end:
        path.append(reader)
    return path
