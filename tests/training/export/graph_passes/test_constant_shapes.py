from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.training.export.graph_passes.made_graphs import (
    made_graph,
    normal,
    operators,
    rewritten_equal,
    untouched,
)
from training.export.graph_passes.constant_shapes import (
    spread_constants_over_rows,
    write_filled_tensors_as_rows,
    write_shapes_of_dense_inputs,
)

node = helper.make_node


def filled_product(
    fill: float | None, swapped: bool = False, attributes: bool = False
) -> onnx.ModelProto:
    """Make what Keras makes of ``one_hot * ones_like(pictures)``."""
    value: dict[str, Any] = (
        {} if fill is None else {"value": numpy_helper.from_array(np.array([fill], np.float32))}
    )
    operands = ["filled", "summed"] if swapped else ["summed", "filled"]
    whole: dict[str, Any] = {"start": 0} if attributes else {}
    nodes = [
        node("ReduceSum", ["inputs", "axes"], ["summed"], keepdims=1),
        node("Shape", ["inputs"], ["shape"], **whole),
        node("ConstantOfShape", ["shape"], ["filled"], **value),
        node("Mul", operands, ["outputs"]),
    ]
    return made_graph(nodes, (4, 3, 2), {"axes": np.array([1, 2])})


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("fill", [1.0, 2.5, None])
def test_a_tensor_of_one_value_becomes_a_row(fill: float | None, swapped: bool) -> None:
    after = rewritten_equal(filled_product(fill, swapped), write_filled_tensors_as_rows)

    assert operators(after) == {"ReduceSum": 1, "Mul": 1}


def test_shapes_that_are_cut_are_left_alone() -> None:
    assert untouched(filled_product(1.0, attributes=True), write_filled_tensors_as_rows)


def test_a_product_with_a_constant_needs_its_batch() -> None:
    nodes = [
        node("Shape", ["inputs"], ["shape"]),
        node("ConstantOfShape", ["shape"], ["filled"]),
        node("Mul", ["filled", "number"], ["outputs"]),
    ]
    model = made_graph(nodes, (4,), {"number": np.array([[2.0]], np.float32)})

    assert untouched(model, write_filled_tensors_as_rows)


def arithmetic(row_shape: tuple[int, ...], *constant_shape: int) -> onnx.ModelProto:
    """Make ``number - rows * number``."""
    nodes = [
        node("Mul", ["inputs", "number"], ["scaled"]),
        node("Sub", ["number", "scaled"], ["outputs"]),
    ]
    return made_graph(nodes, row_shape, {"number": normal(*constant_shape)})


def constant_shapes(model: onnx.ModelProto) -> list[list[int]]:
    return [list(value.dims) for value in model.graph.initializer]


@pytest.mark.parametrize("constant_shape", [(), (1,), (2,), (5, 1)])
def test_a_constant_of_few_columns_is_repeated_over_the_row(
    constant_shape: tuple[int, ...],
) -> None:
    after = rewritten_equal(arithmetic((5, 2), *constant_shape), spread_constants_over_rows)

    assert constant_shapes(after) == [[5, 2], [5, 2]]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(arithmetic((3, 16), 1), id="a long axis"),
        pytest.param(arithmetic((7,), 1), id="one axis"),
        pytest.param(arithmetic((5, 2), 5, 2), id="a whole row"),
        pytest.param(arithmetic((300, 300, 1), 1), id="a huge row"),
    ],
)
def test_other_constants_keep_their_shape(model: onnx.ModelProto) -> None:
    after = rewritten_equal(model, spread_constants_over_rows)

    assert constant_shapes(after) == constant_shapes(model)


def test_pixels_become_rows_of_a_dense_layer_without_arithmetic() -> None:
    nodes = [
        node("Shape", ["inputs"], ["shape"]),
        node("Gather", ["shape", "pixel_axes"], ["pixels"]),
        node("ReduceProd", ["pixels", "zero"], ["count"], keepdims=1),
        node("Concat", ["count", "channels"], ["target"], axis=0),
        node("Reshape", ["inputs", "target"], ["rows"]),
        node("MatMul", ["rows", "kernel"], ["product"]),
        node("Reshape", ["product", "picture"], ["outputs"]),
    ]
    constants = {
        "pixel_axes": np.array([0, 1, 2]),
        "zero": np.array([0]),
        "channels": np.array([2]),
        "kernel": normal(2, 3),
        "picture": np.array([-1, 4, 5, 3]),
    }
    model = made_graph(nodes, (4, 5, 2), constants)

    after = rewritten_equal(model, write_shapes_of_dense_inputs)

    assert operators(after) == {"Reshape": 2, "MatMul": 1}
