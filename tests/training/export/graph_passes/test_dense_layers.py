from typing import Any

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
from training.export.graph_passes.constant_factors import fold_constant_factors
from training.export.graph_passes.dense_layers import join_products_and_biases


def dense(bias: tuple[int, ...], row_shape: tuple[int, ...] = (5,)) -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["inputs", "kernel"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["outputs"]),
    ]
    return made_graph(nodes, row_shape, {"kernel": normal(5, 3), "bias": normal(*bias)})


def test_a_product_and_its_bias_become_one_node() -> None:
    after = rewritten_equal(dense(bias=(3,)), join_products_and_biases)

    assert operators(after) == {"Gemm": 1}


def test_a_bias_of_another_shape_stays_apart() -> None:
    after = rewritten_equal(dense(bias=(1,)), join_products_and_biases)

    assert operators(after) == {"Gemm": 1, "Add": 1}


def test_products_of_more_than_rows_are_left_alone() -> None:
    assert untouched(dense(bias=(3,), row_shape=(4, 5)), join_products_and_biases)


def test_products_of_two_batches_are_left_alone() -> None:
    nodes = [
        helper.make_node("Transpose", ["inputs"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["inputs", "turned"], ["outputs"]),
    ]
    assert untouched(made_graph(nodes, (2, 3), {}), join_products_and_biases)


def test_a_product_that_is_read_twice_keeps_its_bias_apart() -> None:
    nodes = [
        helper.make_node("MatMul", ["inputs", "kernel"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["outputs"]),
        helper.make_node("Relu", ["product"], ["rectified"]),
    ]
    constants = {"kernel": normal(5, 3), "bias": normal(3)}
    model = made_graph(nodes, (5,), constants, ["outputs", "rectified"])

    after = rewritten_equal(model, join_products_and_biases)

    assert operators(after) == {"Gemm": 1, "Add": 1, "Relu": 1}


@pytest.mark.parametrize("attribute", [{"transB": 1}, {"alpha": 0.5}, {"beta": 2.0}])
def test_gemms_of_other_kinds_are_not_read_as_dense_layers(attribute: dict[str, Any]) -> None:

    nodes = [
        helper.make_node("Gemm", ["inputs", "kernel", "bias"], ["value"], **attribute),
        helper.make_node("Mul", ["value", "factor"], ["outputs"]),
    ]
    constants = {"kernel": normal(3, 3), "bias": normal(3), "factor": np.float32(2)}
    assert untouched(made_graph(nodes, (3,), constants), fold_constant_factors)
