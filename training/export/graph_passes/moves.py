"""Nodes that put the values of a row in another order or shape, and constants taken through them.

A constant for every value of a row is an array of the row's shape. In front of a ``Reshape`` or
``Transpose`` it has one shape, behind it another.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.editing import Constant, only_consumer, producer, row_shape

MOVES = ("Reshape", "Transpose")


def moved(move: ir.Node, array: Constant) -> Constant | None:
    """Take an array of the shape of a row from the input of a move to its output.

    Returns:
        None where the move is not within rows.
    """
    if move.op_type == "Transpose":
        axes = _row_axes(move)
        return None if axes is None else array.transpose(axes)
    return _reshaped(array, row_shape(move.outputs[0]))


def moved_back(move: ir.Node, array: Constant) -> Constant | None:
    """Take an array of the shape of a row from the output of a move to its input."""
    if move.op_type == "Transpose":
        axes = _row_axes(move)
        return None if axes is None else array.transpose(np.argsort(axes))
    return _reshaped(array, row_shape(move.inputs[0]))


def behind_moves(
    value: ir.Value, arrays: Sequence[Constant]
) -> tuple[ir.Value, list[Constant]] | None:
    """Follow a value, that nothing else reads, through moves, and take arrays along.

    Returns:
        What the last move gives, and the arrays in its shape; None if a move is not within rows.
    """
    taken = list(arrays)
    while move := only_consumer(value, *MOVES):
        if (next_arrays := _all_taken(moved, move, taken)) is None:
            return None
        value, taken = move.outputs[0], next_arrays
    return value, taken


def before_moves(
    value: ir.Value, arrays: Sequence[Constant]
) -> tuple[ir.Value, list[Constant]] | None:
    """Follow a value back through moves that are for it alone, and take arrays along."""
    taken = list(arrays)
    while move := producer(value, *MOVES):
        next_arrays, source = _all_taken(moved_back, move, taken), move.inputs[0]
        if next_arrays is None or source is None:
            return None
        value, taken = source, next_arrays
    return value, taken


def _all_taken(
    take: Callable[[ir.Node, Constant], Constant | None],
    move: ir.Node,
    arrays: Sequence[Constant],
) -> list[Constant] | None:
    taken = [array for array in (take(move, given) for given in arrays) if array is not None]
    return taken if len(taken) == len(arrays) else None


def _row_axes(transpose: ir.Node) -> list[int] | None:
    batch, *axes = transpose.attributes.get_ints("perm", [-1])
    return [axis - 1 for axis in axes] if batch == 0 else None


def _reshaped(array: Constant, shape: tuple[int, ...] | None) -> Constant | None:
    if shape is None:
        return None
    if math.prod(shape) == array.size:
        return array.reshape(shape)
    # The steps of a series become rows for a dense layer, or the other way round.
    steps = array.reshape(-1, array.shape[-1])
    return steps[0] if shape == steps.shape[1:] and (steps == steps[0]).all() else None
