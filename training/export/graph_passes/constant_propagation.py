"""Propagation of constants through ``Reshape`` and ``Transpose`` within rows.

A constant that has one value for every value of a row has the shape of the row, which is another
one before than after such a node.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.editing import Constant, only_consumer, producer, row_shape

LAYOUT_OPERATORS = ("Reshape", "Transpose")


def propagate_constant_forward(node: ir.Node, array: Constant) -> Constant | None:
    """Bring an array of a row's shape from the input of a layout node to its output.

    Args:
        node: One of ``LAYOUT_OPERATORS``.
        array: In the shape of a row of the node's input.

    Returns:
        The array in the shape of a row of the output; None if the node mixes rows.
    """
    if node.op_type == "Transpose":
        axes = _row_axes(node)
        return None if axes is None else array.transpose(axes)
    return _reshaped(array, row_shape(node.outputs[0]))


def propagate_constant_backward(node: ir.Node, array: Constant) -> Constant | None:
    """Bring an array of a row's shape from the output of a layout node to its input."""
    if node.op_type == "Transpose":
        axes = _row_axes(node)
        return None if axes is None else array.transpose(np.argsort(axes))
    return _reshaped(array, row_shape(node.inputs[0]))


def propagate_constants_forward(
    value: ir.Value, arrays: Sequence[Constant]
) -> tuple[ir.Value, list[Constant]] | None:
    """Propagate arrays forward through the layout nodes that consume a value.

    Args:
        value: Read by the first node only.
        arrays: In the shape of its rows.

    Returns:
        The output of the last node, and the arrays in the shape of its rows; None if a node
        mixes rows.
    """
    propagated = list(arrays)
    while node := only_consumer(value, *LAYOUT_OPERATORS):
        next_arrays = _propagate_all(propagate_constant_forward, node, propagated)
        if next_arrays is None:
            return None
        value, propagated = node.outputs[0], next_arrays
    return value, propagated


def propagate_constants_backward(
    value: ir.Value, arrays: Sequence[Constant]
) -> tuple[ir.Value, list[Constant]] | None:
    """Propagate arrays backward through the layout nodes that compute a value, each for it only."""
    propagated = list(arrays)
    while node := producer(value, *LAYOUT_OPERATORS):
        next_arrays = _propagate_all(propagate_constant_backward, node, propagated)
        source = node.inputs[0]
        if next_arrays is None or source is None:
            return None
        value, propagated = source, next_arrays
    return value, propagated


def _propagate_all(
    propagate: Callable[[ir.Node, Constant], Constant | None],
    node: ir.Node,
    arrays: Sequence[Constant],
) -> list[Constant] | None:
    results = [propagate(node, array) for array in arrays]
    propagated = [array for array in results if array is not None]
    return propagated if len(propagated) == len(arrays) else None


def _row_axes(transpose: ir.Node) -> list[int] | None:
    batch, *axes = transpose.attributes.get_ints("perm", [-1])
    return [axis - 1 for axis in axes] if batch == 0 else None


def _reshaped(array: Constant, shape: tuple[int, ...] | None) -> Constant | None:
    if shape is None:
        return None
    if math.prod(shape) == array.size:
        return array.reshape(shape)
    # Steps of a series become rows of a dense layer, or the reverse.
    steps = array.reshape(-1, array.shape[-1])
    return steps[0] if shape == steps.shape[1:] and (steps == steps[0]).all() else None
