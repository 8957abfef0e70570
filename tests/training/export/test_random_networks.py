"""Whatever layers a recipe lists, its graphs compute what Keras computes, in plain ONNX."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from service.bundle.manifest import DECODER, ENCODER
from service.inference.session import Session
from tests.training.tiny_recipes import tiny_autoencoder, tiny_graphs, tiny_recipe
from training.data.scaling import Scaling
from training.errors import RecipeError
from training.export.conversion import export_graph
from training.export.fitted_scorer import FittedScorer
from training.export.graph_functions import graph_functions
from training.export.parity import TOLERANCE, check_parity
from training.export.scorers.reconstruction_error import ReconstructionError
from training.networks.autoencoder import Autoencoder
from training.networks.building import build_autoencoder
from training.tensors import to_numpy

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROWS = np.random.default_rng(3).normal(0.4, 0.5, (7, 8, 8, 1)).astype(np.float32)
SHAPE_ARITHMETIC = {"Shape", "Slice", "Tile", "ConstantOfShape", "Range", "Loop", "Identity"}

activations = st.sampled_from(
    ["linear", "relu", "elu", "selu", "gelu", "softplus", "sigmoid", "tanh"]
)
ERROR = FittedScorer("reconstruction-error", ReconstructionError(), {})


def kernel_covers_stride(layer: dict[str, Any]) -> bool:
    """tf2onnx gives strides beyond the kernel negative padding, which export refuses."""
    return layer["layer"] == "convolution" or layer["kernel"] >= layer["stride"]


convolutions = st.fixed_dictionaries(
    {
        "layer": st.sampled_from(["convolution", "transposed-convolution"]),
        "filters": st.sampled_from([1, 3, 8, 9]),
        "kernel": st.integers(1, 4),
        "stride": st.integers(1, 2),
        "padding": st.just("same"),
        "activation": activations,
        "bias": st.booleans(),
    }
).filter(kernel_covers_stride)
valid_convolutions = st.fixed_dictionaries(
    {
        "layer": st.just("convolution"),
        "filters": st.sampled_from([2, 8]),
        "kernel": st.integers(1, 2),
        "padding": st.just("valid"),
        "activation": activations,
    }
)
upsampled_convolutions = st.tuples(
    st.fixed_dictionaries({"layer": st.just("upsample"), "size": st.integers(2, 3)}),
    st.one_of(convolutions, valid_convolutions),
)
others = st.sampled_from(
    [
        {"layer": "batch-normalization"},
        {"layer": "max-pool"},
        {"layer": "dropout", "rate": 0.5},
        {"layer": "dense", "units": 3},
    ]
)
picture_layers = st.lists(
    st.one_of(
        convolutions.map(lambda layer: [layer]),
        valid_convolutions.map(lambda layer: [layer]),
        upsampled_convolutions.map(list),
        others.map(lambda layer: [layer]),
    ),
    min_size=1,
    max_size=4,
).map(lambda groups: [layer for group in groups for layer in group])

FLAT = {"layer": "flatten"}
PICTURE = [{"layer": "dense", "units": 32}, {"layer": "reshape", "shape": [4, 4, 2]}]
TAIL = [FLAT, {"layer": "dense", "units": 64}, {"layer": "reshape", "shape": [8, 8, 1]}]


def with_spread_weights(autoencoder: Autoencoder) -> Autoencoder:
    """Move biases and statistics from 0 and 1, which a conversion may leave out."""
    random = np.random.default_rng(1)
    for weight in autoencoder.weights:
        if len(weight.shape) == 1:
            weight.assign(to_numpy(weight) + random.uniform(0.1, 0.5, weight.shape))
    return autoencoder


def built(encoder: list[dict[str, Any]], decoder: list[dict[str, Any]]) -> Autoencoder:
    model = {"family": "plain", "encoder": encoder, "decoder": decoder}
    objective = {"reconstruction": "mean-squared-error"}
    recipe = tiny_recipe("dense", model=model, objective=objective)
    return with_spread_weights(build_autoencoder(recipe, (8, 8, 1)))


def operators_of_equal_graphs(autoencoder: Autoencoder, *scorers: FittedScorer) -> list[set[str]]:
    """Export every graph, compare it with Keras, and return what it is made of."""
    scaling = Scaling(np.array([0.3], np.float32), np.array([1.7], np.float32))
    codes = to_numpy(autoencoder.encode(scaling.scale(ROWS))[0])
    found = []
    for graph in graph_functions(autoencoder, scaling, (8, 8, 1), scorers):
        content = export_graph(graph)
        inputs = codes if graph.name == DECODER else ROWS
        assert check_parity(graph, Session(content, graph.signature), inputs) <= TOLERANCE
        found.append({node.op_type for node in onnx.load_from_string(content).graph.node})
    return found


@pytest.mark.slow
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(encoder=picture_layers, decoder=picture_layers)
def test_graphs_of_any_layers_compute_what_keras_computes(
    encoder: list[dict[str, Any]], decoder: list[dict[str, Any]]
) -> None:
    try:
        autoencoder = built(
            [*encoder, FLAT, {"layer": "dense", "units": 4}], [*PICTURE, *decoder, *TAIL]
        )
    except RecipeError:
        reject()  # a kernel larger than what is left of the picture
    for operators in operators_of_equal_graphs(autoencoder):
        assert not operators & SHAPE_ARITHMETIC
        assert "BatchNormalization" not in operators


def test_a_convolution_behind_upsampling_runs_at_the_low_resolution_before_a_narrow_one() -> None:
    wide = {"layer": "convolution", "filters": 16, "kernel": 3, "padding": "valid", "bias": False}
    autoencoder = built(
        [{"layer": "convolution", "filters": 8, "kernel": 4, "padding": "valid"}],
        [
            {"layer": "upsample"},
            wide,
            {"layer": "batch-normalization"},
            {"layer": "activation", "activation": "relu"},
            {"layer": "convolution", "filters": 1, "kernel": 3, "activation": "sigmoid"},
        ],
    )

    _, decoder, scorer = operators_of_equal_graphs(autoencoder, ERROR)

    # Scaling back to raw units stands behind the sigmoid.
    assert decoder == {
        *("Transpose", "Conv", "Relu", "ConvTranspose", "Sigmoid", "Mul", "Add", "Reshape")
    }
    assert "Resize" not in scorer


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["recurrent", "conditional"])
def test_series_and_conditions_need_no_arithmetic_with_shapes(kind: str) -> None:
    for graph in tiny_graphs(kind, tiny_autoencoder(kind)):
        nodes = onnx.load_from_string(export_graph(graph)).graph.node
        operators = Counter(node.op_type for node in nodes)
        recurrent_layers = (graph.name != DECODER) + (graph.name != ENCODER)

        assert not operators.keys() & (SHAPE_ARITHMETIC - {"Tile"})
        assert operators["LSTM"] == (recurrent_layers if kind == "recurrent" else 0)
