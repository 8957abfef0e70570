"""Scaling and batch normalization end up in weights, wherever that gives the same numbers."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, helper

from tests.training.export.graph_passes.made_graphs import (
    made_graph,
    normal,
    operators,
    rewritten_equal,
    untouched,
)
from training.arrays import FloatArray
from training.export.graph_passes.constant_factors import fold_constant_factors
from training.export.graph_passes.optimization import rewritten

node = helper.make_node


def linear(operator: str, source: str, result: str, padded: bool = False) -> NodeProto:
    """Make a layer of the constants ``kernel`` and ``bias``."""
    options: dict[str, Any] = {"pads": [1, 1, 1, 1]} if padded else {}
    return node(operator, [source, "kernel", "bias"], [result], **options)


def weights(operator: str) -> dict[str, FloatArray]:
    kernels = {"Gemm": (12, 6), "Conv": (4, 3, 2, 2), "ConvTranspose": (3, 4, 2, 2)}
    shape = kernels[operator]
    return {"kernel": normal(*shape), "bias": normal(shape[0] if operator == "Conv" else shape[1])}


def layer_then(
    operator: str, arithmetic: list[tuple[str, FloatArray]], reshaped: bool = False
) -> onnx.ModelProto:
    """Make ``layer [-> Reshape -> Transpose] -> arithmetic``."""
    nodes, constants, value = [linear(operator, "inputs", "value")], weights(operator), "value"
    if reshaped:
        nodes += [
            node("Reshape", [value, "shape"], ["shaped"]),
            node("Transpose", ["shaped"], ["turned"], perm=[0, 2, 1]),
        ]
        constants, value = {**constants, "shape": np.array([-1, 3, 2])}, "turned"
    return _with_arithmetic(nodes, constants, value, arithmetic, operator)


def _with_arithmetic(
    nodes: list[NodeProto],
    constants: dict[str, FloatArray],
    value: str,
    arithmetic: list[tuple[str, FloatArray]],
    operator: str,
) -> onnx.ModelProto:
    for position, (name, array) in enumerate(arithmetic):
        last = position == len(arithmetic) - 1
        result = "outputs" if last else f"value_{position}"
        constants[f"number_{position}"] = array
        nodes.append(node(name, [value, f"number_{position}"], [result]))
        value = result
    return made_graph(nodes, (12,) if operator == "Gemm" else (3, 5, 4), constants)


def then_layer(
    operator: str, arithmetic: list[tuple[str, FloatArray]], padded: bool = False
) -> onnx.ModelProto:
    """Make ``arithmetic -> [Reshape ->] layer``, the arithmetic on (4, 3) or on pictures."""
    nodes, constants, value = [], weights(operator), "inputs"
    for position, (name, array) in enumerate(arithmetic):
        constants[f"number_{position}"] = array
        nodes.append(node(name, [value, f"number_{position}"], [f"value_{position}"]))
        value = f"value_{position}"
    if operator == "Gemm":
        nodes.append(node("Reshape", [value, "shape"], ["flat"]))
        constants, value = {**constants, "shape": np.array([-1, 12])}, "flat"
    nodes.append(linear(operator, value, "outputs", padded))
    return made_graph(nodes, (4, 3) if operator == "Gemm" else (3, 5, 4), constants)


ONE = np.array([1.7], np.float32)


@pytest.mark.parametrize("operator", ["Gemm", "Conv", "ConvTranspose"])
@pytest.mark.parametrize("arithmetic", ["Add", "Sub", "Mul", "Div"])
def test_one_number_behind_a_layer_goes_into_its_weights(operator: str, arithmetic: str) -> None:
    after = rewritten_equal(layer_then(operator, [(arithmetic, ONE)]), fold_constant_factors)

    assert operators(after) == {operator: 1}


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_a_batch_normalization_behind_a_convolution_goes_into_its_weights(operator: str) -> None:
    arithmetic = [("Mul", normal(4, 1, 1)), ("Add", normal(1, 4, 1, 1))]

    after = rewritten_equal(layer_then(operator, arithmetic), fold_constant_factors)

    assert operators(after) == {operator: 1}


def test_a_number_per_column_finds_its_unit_behind_a_reshape_and_a_transposition() -> None:
    arithmetic = [("Mul", normal(3)), ("Add", normal(2, 3))]

    after = rewritten_equal(layer_then("Gemm", arithmetic, reshaped=True), fold_constant_factors)

    assert operators(after) == {"Gemm": 1, "Reshape": 1, "Transpose": 1}


def test_a_number_for_every_step_of_a_series_reaches_the_layer_that_all_steps_share() -> None:
    nodes = [
        node("Reshape", ["inputs", "by_step"], ["steps"]),
        linear("Gemm", "steps", "value"),
        node("Reshape", ["value", "by_row"], ["rows"]),
        node("Mul", ["rows", "spread"], ["large"]),
        node("Add", ["large", "center"], ["outputs"]),
    ]
    constants = {
        **weights("Gemm"),
        "by_step": np.array([-1, 12]),
        "by_row": np.array([-1, 5, 6]),
        "spread": normal(6),
        "center": normal(6),
    }
    after = rewritten_equal(made_graph(nodes, (5, 12), constants), fold_constant_factors)

    assert operators(after) == {"Gemm": 1, "Reshape": 2}


@pytest.mark.parametrize("operator", ["Gemm", "Conv"])
@pytest.mark.parametrize("columns", [1, 3])
def test_scaling_in_front_of_a_layer_goes_into_its_weights(operator: str, columns: int) -> None:
    shape = (columns,) if operator == "Gemm" else (columns, 1, 1)
    arithmetic = [("Sub", normal(*shape)), ("Mul", normal(*shape))]

    after = rewritten_equal(then_layer(operator, arithmetic), fold_constant_factors)

    assert operators(after).keys() <= {operator, "Reshape"}


def test_a_factor_goes_into_a_padded_convolution() -> None:
    model = then_layer("Conv", [("Mul", normal(3, 1, 1))], padded=True)

    assert operators(rewritten_equal(model, fold_constant_factors)) == {"Conv": 1}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(then_layer("Conv", [("Add", ONE)], padded=True), id="padding has no offset"),
        pytest.param(then_layer("Gemm", [("Sub", 9 * ONE)]), id="a large offset"),
        pytest.param(
            then_layer("Gemm", [("Sub", ONE), ("Mul", 100 * ONE)]), id="large once scaled"
        ),
        pytest.param(then_layer("ConvTranspose", [("Add", ONE)]), id="before a transposed one"),
        pytest.param(layer_then("Conv", [("Mul", normal(4, 4, 3))]), id="a number per pixel"),
        pytest.param(layer_then("Gemm", [("Div", np.zeros(1, np.float32))]), id="division by 0"),
    ],
)
def test_what_would_give_other_numbers_is_left_alone(model: onnx.ModelProto) -> None:
    assert operators(rewritten(model, [fold_constant_factors])) == operators(model)


def test_rows_that_are_also_read_unscaled_or_scaled_keep_their_scaling() -> None:
    nodes = [
        node("Mul", ["inputs", "factor"], ["scaled"]),
        linear("Gemm", "scaled", "outputs"),
        node("Relu", ["scaled"], ["seen"]),
    ]
    constants = {**weights("Gemm"), "factor": ONE}
    assert untouched(
        made_graph(nodes, (12,), constants, ["outputs", "seen"]), fold_constant_factors
    )


def test_the_inputs_of_a_graph_keep_their_name() -> None:
    after = rewritten_equal(then_layer("Gemm", [("Mul", ONE)]), fold_constant_factors)

    assert [value.name for value in after.graph.input] == ["inputs"]
    assert [value.name for value in after.graph.output] == ["outputs"]
