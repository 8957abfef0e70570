"""Folding of constant factors and offsets into the weights of a neighboring layer.

Scaling and batch normalization multiply by constants and add constants. The weights of a dense
layer or convolution before or after them can include both.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.constant_propagation import (
    propagate_constants_backward,
    propagate_constants_forward,
)
from training.export.graph_passes.convolutions import Convolution, as_convolution
from training.export.graph_passes.dense_layers import as_dense_layer
from training.export.graph_passes.editing import (
    Constant,
    bypass,
    constant,
    is_batch,
    only_consumer,
    producer,
    row_shape,
    write_weights,
)

_OPERATORS = ("Add", "Div", "Mul", "Sub")

# Weights that include a large offset compute a small difference of large float32 numbers. Scaled
# values are around 1: offsets up to this lose at most three bits.
MAX_OFFSET = 8.0


@dataclass(frozen=True)
class _Affine:
    """``source * factor + offset``, by one node or by several in a row.

    Attributes:
        nodes: A chain; each node but the last has only the next as consumer.
        source: A batch of rows.
        factor: For every value of a row, in the row's shape.
        offset: Likewise.
    """

    nodes: tuple[ir.Node, ...]
    source: ir.Value
    factor: Constant
    offset: Constant


def fold_constant_factors(graph: ir.Graph) -> None:
    """Fold constant factors and offsets into the weights of the layer before or after them.

    Args:
        graph: Changed in place; its shapes must have been inferred.
    """
    for node in reversed(list(graph)):
        affine = _affine_to(node) if node.graph is graph else None
        if affine and (_fold_into_producer(graph, affine) or _fold_into_consumer(graph, affine)):
            for inner in reversed(affine.nodes):
                bypass(graph, inner, affine.source)


def _affine_to(node: ir.Node) -> _Affine | None:
    """Return a node and those before it as one factor and one offset."""
    last = _as_affine(node)
    if last is None:
        return None
    before = producer(last.source, *_OPERATORS)
    first = _affine_to(before) if before else None
    if first is None:
        return last
    return _Affine(
        nodes=(*first.nodes, *last.nodes),
        source=first.source,
        factor=first.factor * last.factor,
        offset=first.offset * last.factor + last.offset,
    )


def _as_affine(node: ir.Node) -> _Affine | None:
    if node.op_type not in _OPERATORS:
        return None
    first, second = node.inputs
    commutes = node.op_type in {"Add", "Mul"}
    source, number = (second, first) if commutes and constant(second) is None else (first, second)
    values = _for_every_value(source, constant(number))
    if source is None or values is None or row_shape(node.outputs[0]) != values.shape:
        return None
    if node.op_type == "Div":
        return _Affine((node,), source, 1 / values, 0 * values) if values.all() else None
    if node.op_type == "Mul":
        return _Affine((node,), source, values, 0 * values)
    offset = values if node.op_type == "Add" else -values
    return _Affine((node,), source, 0 * values + 1, offset)


def _for_every_value(rows: ir.Value | None, number: Constant | None) -> Constant | None:
    """Broadcast a constant to the shape of a row; None if it does not broadcast to it."""
    shape = row_shape(rows)
    if shape is None or number is None or not is_batch(rows):
        return None
    row = number[0] if number.ndim == len(shape) + 1 and len(number) == 1 else number
    if row.ndim > len(shape) or np.broadcast_shapes(row.shape, shape) != shape:
        return None
    return np.broadcast_to(row.astype(np.float64), shape)


def _fold_into_producer(graph: ir.Graph, affine: _Affine) -> bool:
    propagated = propagate_constants_backward(affine.source, [affine.factor, affine.offset])
    if propagated is None:
        return False
    value, (factor, offset) = propagated
    layer = producer(value, "Gemm", "Conv", "ConvTranspose")
    if dense := as_dense_layer(layer):
        kernel, bias = dense.kernel * factor, dense.bias * factor + offset
        write_weights(graph, dense.node, kernel, bias)
        return True
    for operator, axes in (("Conv", (-1, 1, 1, 1)), ("ConvTranspose", (1, -1, 1, 1))):
        convolution = as_convolution(layer, operator)
        if convolution and _same_everywhere(factor) and _same_everywhere(offset):
            factors, offsets = factor[:, 0, 0], offset[:, 0, 0]
            kernel = convolution.kernel * factors.reshape(axes)
            write_weights(graph, convolution.node, kernel, convolution.bias * factors + offsets)
            return True
    return False


def _fold_into_consumer(graph: ir.Graph, affine: _Affine) -> bool:
    propagated = propagate_constants_forward(
        affine.nodes[-1].outputs[0], [affine.factor, affine.offset]
    )
    if propagated is None or np.abs(affine.offset).max(initial=0) > MAX_OFFSET:
        return False
    value, (factor, offset) = propagated
    layer = only_consumer(value, "Gemm", "Conv")
    if dense := as_dense_layer(layer):
        kernel, bias = factor[:, np.newaxis] * dense.kernel, dense.bias + offset @ dense.kernel
        write_weights(graph, dense.node, kernel, bias)
        return True
    convolution = as_convolution(layer)
    if convolution and _can_include(convolution, factor, offset):
        kernel = convolution.kernel * factor[:, 0, 0].reshape(1, -1, 1, 1)
        added = np.einsum("oihw,i->o", convolution.kernel, offset[:, 0, 0])
        write_weights(graph, convolution.node, kernel, convolution.bias + added)
        return True
    return False


def _can_include(convolution: Convolution, factor: Constant, offset: Constant) -> bool:
    # Zeros of the padding would have to be without the offset.
    padded = any((*convolution.before, *convolution.after))
    offset_fits = not offset.any() or (not padded and _same_everywhere(offset))
    return _same_everywhere(factor) and offset_fits


def _same_everywhere(array: Constant) -> bool:
    """Return whether an array, (channels, height, width), has one value per channel."""
    return array.ndim == 3 and bool((array == array[:, :1, :1]).all())
