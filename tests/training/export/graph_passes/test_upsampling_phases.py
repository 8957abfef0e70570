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
    upsampling,
)
from training.export.graph_passes.upsampling_phases import convolve_before_upsampling, phase_kernel


def chain(
    *,
    side: int = 6,
    kernel: int = 3,
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    factor: int = 2,
    activations: tuple[str, ...] = ("Relu",),
    last_kernel: int = 4,
    extra_reader: bool = False,
) -> onnx.ModelProto:
    """Make ``Resize -> Conv -> activations -> ConvTranspose`` over square pictures."""
    nodes = [
        upsampling("inputs", "large"),
        helper.make_node("Conv", ["large", "kernel", "bias"], ["value"], pads=pads),
    ]
    value = "value"
    for position, activation in enumerate(activations):
        nodes.append(helper.make_node(activation, [value], [f"activated_{position}"]))
        value = f"activated_{position}"
    nodes.append(
        helper.make_node(
            "ConvTranspose",
            [value, "last", "last_bias"],
            ["outputs"],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
        )
    )
    if extra_reader:
        nodes.append(helper.make_node("Tanh", ["value"], ["seen"]))
    constants = {
        "scales": np.array([1, 1, factor, factor], np.float32),
        "kernel": normal(10, 12, kernel, kernel),
        "bias": normal(10),
        "last": normal(10, 1, last_kernel, last_kernel),
        "last_bias": normal(1),
    }
    return made_graph(
        nodes, (12, side, side), constants, ["outputs", "seen"] if extra_reader else ["outputs"]
    )


def test_the_convolution_runs_at_the_low_resolution_and_nothing_is_put_back_in_place() -> None:
    after = rewritten_equal(chain(), convolve_before_upsampling)

    assert operators(after) == {"Conv": 1, "Relu": 1, "ConvTranspose": 1}
    convolution, _, transposed = after.graph.node
    kernels = {value.name: list(value.dims) for value in after.graph.initializer}
    assert kernels[convolution.input[1]] == [40, 12, 2, 2]
    assert kernels[transposed.input[1]] == [40, 1, 6, 6]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(chain(factor=3, side=5, kernel=4, pads=(0, 0, 0, 0)), id="by three"),
        pytest.param(chain(kernel=5), id="five by five"),
        pytest.param(chain(pads=(2, 0, 0, 2), kernel=3), id="uneven padding"),
        pytest.param(chain(activations=("Elu", "Selu", "Tanh")), id="three activations"),
        pytest.param(chain(activations=()), id="no activation"),
        pytest.param(chain(activations=("LeakyRelu",)), id="an activation with attributes"),
    ],
)
def test_other_factors_kernels_and_activations_give_the_same_numbers(
    model: onnx.ModelProto,
) -> None:
    assert "Resize" not in operators(rewritten_equal(model, convolve_before_upsampling))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(chain(pads=(1, 1, 1, 1)), id="phases overhang the picture"),
        pytest.param(chain(kernel=2, pads=(0, 0, 1, 1), last_kernel=8), id="no fewer products"),
        pytest.param(chain(activations=("Softmax",)), id="channels that know each other"),
        pytest.param(chain(extra_reader=True), id="read elsewhere"),
    ],
)
def test_anything_else_is_left_alone(model: onnx.ModelProto) -> None:
    assert untouched(model, convolve_before_upsampling)


def test_weights_that_meet_copies_of_one_pixel_are_summed() -> None:
    kernel = np.array([1, 10, 100], np.float32).reshape(1, 1, 3, 1)

    phases = phase_kernel(kernel, 2)

    assert phases[0, :, 0, 0, :, 0].tolist() == [[11, 100], [1, 110]]
    assert phases.sum() == 4 * kernel.sum()  # once per phase
