"""Dense layers as one ``Gemm`` node each, the form that other rewrites read."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.editing import (
    Constant,
    Replacement,
    constant,
    inputs_of,
    only_consumer,
    row_shape,
)


@dataclass(frozen=True)
class DenseLayer:
    """A ``Gemm`` whose weights are constant.

    Attributes:
        node: In the graph.
        kernel: Shape (inputs, units).
        bias: Shape (units,).
    """

    node: ir.Node
    kernel: Constant
    bias: Constant


def as_dense_layer(node: ir.Node | None) -> DenseLayer | None:
    """Read a node as a dense layer; None if it is not one."""
    if node is None or node.op_type != "Gemm":
        return None
    _, weights, biases = inputs_of(node, 3)
    kernel, bias = constant(weights), constant(biases)
    numbers = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    flags = [node.attributes.get_int(name, 0) for name in ("transA", "transB")]
    if (
        kernel is None
        or (biases is not None and bias is None)
        or [*numbers, *flags] != [1, 1, 0, 0]
    ):
        return None
    if bias is None:
        bias = np.zeros(kernel.shape[1], np.float32)
    return DenseLayer(node, kernel, np.broadcast_to(bias, kernel.shape[1:]))


def join_products_and_biases(graph: ir.Graph) -> None:
    """Rewrite ``MatMul [-> Add]`` of rows and constants as ``Gemm``.

    Args:
        graph: Changed in place; its shapes must have been inferred.
    """
    for node in list(graph):
        if node.op_type != "MatMul" or len(row_shape(node.inputs[0]) or ()) != 1:
            continue
        kernel = constant(node.inputs[1])
        if kernel is None or kernel.ndim != 2 or kernel.dtype != np.float32:
            continue
        old, inputs = [node], [node.inputs[0], node.inputs[1]]
        add = only_consumer(node.outputs[0], "Add")
        bias = add and next((i for i in add.inputs if i is not node.outputs[0]), None)
        values = constant(bias)
        if add and values is not None and values.shape == kernel.shape[1:]:
            old.append(add)
            inputs.append(bias)
        new = Replacement(graph)
        new.replace(old, new.node("Gemm", *inputs))
