import numpy as np
import onnx
import pytest
from onnx import helper

from tests.training.export.graph_passes.made_graphs import (
    made_graph,
    normal,
    operators,
    rewritten_equal,
    untouched,
)
from training.export.graph_passes.axis_orders import (
    merge_reshapes,
    reorder_dense_weights,
    reshape_single_channels,
)

node = helper.make_node


def transposed(row_shape: tuple[int, ...], perm: list[int]) -> onnx.ModelProto:
    return made_graph([node("Transpose", ["inputs"], ["outputs"], perm=perm)], row_shape, {})


@pytest.mark.parametrize(
    ("row_shape", "perm"), [((1, 4, 3), [0, 2, 3, 1]), ((4, 3, 1), [0, 3, 1, 2])]
)
def test_turning_a_single_channel_is_a_reshape(row_shape: tuple[int, ...], perm: list[int]) -> None:
    after = rewritten_equal(transposed(row_shape, perm), reshape_single_channels)

    assert operators(after) == {"Reshape": 1}


@pytest.mark.parametrize(
    ("row_shape", "perm"), [((2, 4, 3), [0, 2, 3, 1]), ((1, 4, 3), [0, 1, 3, 2])]
)
def test_turning_that_moves_values_stays(row_shape: tuple[int, ...], perm: list[int]) -> None:
    assert untouched(transposed(row_shape, perm), reshape_single_channels)


def test_turning_steps_in_front_of_rows_stays() -> None:
    nodes = [
        node("Transpose", ["inputs"], ["by_step"], perm=[1, 0, 2]),
        node("Relu", ["by_step"], ["rectified"]),
        node("Transpose", ["rectified"], ["outputs"], perm=[1, 0, 2]),
    ]
    assert untouched(made_graph(nodes, (4, 1), {}), reshape_single_channels, reorder_dense_weights)


def test_a_dense_layer_behind_a_picture_reads_channels_first() -> None:
    nodes = [
        node("Transpose", ["inputs"], ["last"], perm=[0, 2, 3, 1]),
        node("Reshape", ["last", "flat"], ["row"]),
        node("Gemm", ["row", "kernel", "bias"], ["outputs"]),
    ]
    constants = {"flat": np.array([-1, 24]), "kernel": normal(24, 5), "bias": normal(5)}

    after = rewritten_equal(made_graph(nodes, (2, 3, 4), constants), reorder_dense_weights)

    assert operators(after) == {"Reshape": 1, "Gemm": 1}


def test_a_dense_layer_in_front_of_a_picture_gives_channels_first() -> None:
    nodes = [
        node("Gemm", ["inputs", "kernel", "bias"], ["row"]),
        node("Relu", ["row"], ["positive"]),
        node("Reshape", ["positive", "picture"], ["last"]),
        node("Transpose", ["last"], ["outputs"], perm=[0, 3, 1, 2]),
    ]
    constants = {"picture": np.array([-1, 3, 4, 2]), "kernel": normal(5, 24), "bias": normal(24)}

    after = rewritten_equal(
        made_graph(nodes, (5,), constants), reorder_dense_weights, merge_reshapes
    )

    assert operators(after) == {"Gemm": 1, "Relu": 1, "Reshape": 1}


def test_a_picture_that_is_also_read_channels_last_is_still_turned() -> None:
    nodes = [
        node("Gemm", ["inputs", "kernel"], ["row"]),
        node("Reshape", ["row", "picture"], ["last"]),
        node("Transpose", ["last"], ["outputs"], perm=[0, 3, 1, 2]),
        node("Relu", ["last"], ["seen"]),
    ]
    constants = {"picture": np.array([-1, 3, 4, 2]), "kernel": normal(5, 24)}
    model = made_graph(nodes, (5,), constants, ["outputs", "seen"])

    assert untouched(model, reorder_dense_weights)


def test_of_reshapes_in_a_row_the_last_is_enough_and_one_that_changes_nothing_is_too_many() -> None:
    nodes = [
        node("Reshape", ["inputs", "a"], ["first"]),
        node("Reshape", ["first", "b"], ["second"]),
        node("Reshape", ["second", "c"], ["third"]),
        node("Relu", ["third"], ["outputs"]),
    ]
    constants = {"a": np.array([-1, 3, 4]), "b": np.array([-1, 12]), "c": np.array([-1, 2, 6])}

    after = rewritten_equal(made_graph(nodes, (2, 6), constants), merge_reshapes, merge_reshapes)

    assert operators(after) == {"Relu": 1}


def test_a_reshape_that_makes_rows_of_steps_stays() -> None:
    nodes = [
        node("Reshape", ["inputs", "steps"], ["by_step"]),
        node("Relu", ["by_step"], ["positive"]),
        node("Reshape", ["positive", "rows"], ["outputs"]),
    ]
    constants = {"steps": np.array([-1, 2]), "rows": np.array([-1, 6, 2])}

    assert untouched(made_graph(nodes, (6, 2), constants), merge_reshapes)
