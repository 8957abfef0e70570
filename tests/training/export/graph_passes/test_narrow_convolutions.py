from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.training.export.graph_passes.made_graphs import (
    made_graph,
    normal,
    operators,
    rewritten_equal,
    untouched,
    upsampling,
)
from training.export.graph_passes.narrow_convolutions import (
    transpose_narrow_convolutions,
    transposed_kernel,
)


def convolved(
    filters: int = 1,
    channels: int = 8,
    kernel: tuple[int, int] = (3, 3),
    pads: tuple[int, int, int, int] = (1, 1, 1, 1),
    factor: int | None = None,
    **attributes: Any,
) -> onnx.ModelProto:
    """Make ``[Resize ->] Conv -> Sigmoid`` over pictures of 6x5."""
    nodes = [
        helper.make_node(
            "Conv",
            ["large" if factor else "inputs", "kernel", "bias"],
            ["convolved"],
            pads=pads,
            **attributes,
        ),
        helper.make_node("Sigmoid", ["convolved"], ["outputs"]),
    ]
    constants = {"kernel": normal(filters, channels, *kernel), "bias": normal(filters)}
    if factor:
        nodes.insert(0, upsampling("inputs", "large"))
        constants["scales"] = np.array([1, 1, factor, factor], np.float32)
    return made_graph(nodes, (channels, 6, 5), constants)


@pytest.mark.parametrize("factor", [None, 2])
def test_one_transposed_convolution_replaces_upsampling_and_convolution(factor: int | None) -> None:
    after = rewritten_equal(convolved(factor=factor), transpose_narrow_convolutions)

    assert operators(after) == {"ConvTranspose": 1, "Sigmoid": 1}
    assert {value.name for value in after.graph.initializer}.isdisjoint({"kernel", "scales"})


@settings(max_examples=25, deadline=None)
@given(
    filters=st.integers(1, 4),
    channels=st.integers(8, 9),
    kernel=st.tuples(st.integers(2, 4), st.integers(2, 4)),
    factor=st.sampled_from([None, 2, 3]),
    data=st.data(),
)
def test_every_kernel_padding_and_factor_gives_the_same_numbers(
    filters: int,
    channels: int,
    kernel: tuple[int, int],
    factor: int | None,
    data: st.DataObject,
) -> None:
    height, width = kernel
    zeros = [data.draw(st.integers(0, size - 1)) for size in (height, width, height, width)]
    model = convolved(filters, channels, kernel, (zeros[0], zeros[1], zeros[2], zeros[3]), factor)

    after = rewritten_equal(model, transpose_narrow_convolutions)

    assert operators(after) == {"ConvTranspose": 1, "Sigmoid": 1}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(convolved(filters=5), id="many filters"),
        pytest.param(convolved(channels=4), id="few channels"),
        pytest.param(convolved(strides=[2, 2]), id="strides"),
        pytest.param(convolved(dilations=[2, 2], pads=(2, 2, 2, 2)), id="dilations"),
        pytest.param(convolved(kernel=(1, 1), pads=(0, 0, 0, 0)), id="one pixel"),
        pytest.param(convolved(pads=(3, 1, 1, 1)), id="more zeros than the kernel reaches"),
    ],
)
def test_anything_else_is_left_alone(model: onnx.ModelProto) -> None:
    assert untouched(model, transpose_narrow_convolutions)


def test_an_upsampled_picture_that_is_also_read_elsewhere_stays() -> None:
    nodes = [
        upsampling("inputs", "large"),
        helper.make_node("Conv", ["large", "kernel"], ["outputs"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["large"], ["rectified"]),
    ]
    constants = {"kernel": normal(1, 8, 3, 3), "scales": np.array([1, 1, 2, 2], np.float32)}
    model = made_graph(nodes, (8, 4, 4), constants, ["outputs", "rectified"])

    after = rewritten_equal(model, transpose_narrow_convolutions)

    assert operators(after) == {"Resize": 1, "ConvTranspose": 1, "Relu": 1}


def test_copies_of_a_pixel_spread_side_by_side() -> None:
    kernel = np.array([1, 10, 100], np.float32).reshape(1, 1, 3, 1)

    spread = transposed_kernel(kernel, 2)

    assert spread[0, 0, :, 0].tolist() == [100, 110, 11, 1]
