"""A sequence autoencoder becomes whole LSTM operators, which runtimes have fast kernels for."""

from collections import Counter

import numpy as np
import onnx
import pytest

from tests.training.tiny_recipes import KINDS, STEPS, tiny_autoencoder, tiny_graphs, tiny_rows
from training.errors import RecipeError
from training.export.conversion import export_graph
from training.tensors import to_numpy

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.slow
def test_each_recurrent_layer_is_one_lstm_operator_neither_unrolled_nor_a_loop() -> None:
    found = {
        graph.name: Counter(
            node.op_type for node in onnx.load_from_string(export_graph(graph)).graph.node
        )
        for graph in tiny_graphs("recurrent", tiny_autoencoder("recurrent"))
    }
    lstms = {name: operators["LSTM"] for name, operators in found.items()}
    assert lstms == {"encoder": 1, "decoder": 1, "scorer-reconstruction-error": 2}
    for operators in found.values():
        assert not {"Loop", "Scan", "If"} & operators.keys()
        # An unrolled layer multiplies matrices once a step; the dense layer at the end does once.
        assert operators["MatMul"] <= 1


def test_a_series_becomes_one_vector_and_comes_back_step_by_step() -> None:
    autoencoder = tiny_autoencoder("recurrent")
    rows = tiny_rows("recurrent", 3)
    codes = to_numpy(autoencoder.encode(rows)[0])
    assert codes.shape == (3, 5)
    assert to_numpy(autoencoder.decode(codes)).shape == (3, STEPS, 2)


def test_the_code_depends_on_the_order_of_the_steps() -> None:
    autoencoder = tiny_autoencoder("recurrent")
    rows = tiny_rows("recurrent", 3)
    forward, backward = (
        to_numpy(autoencoder.encode(series)[0]) for series in (rows, rows[:, ::-1].copy())
    )
    assert not np.allclose(forward, backward)


def test_a_recurrent_layer_on_rows_without_steps_is_rejected() -> None:
    model = KINDS["recurrent"]["model"]
    flat = [{"layer": "flatten"}, *model["encoder"]]
    with pytest.raises(RecipeError, match=r"model.encoder\[1\]: a lstm layer does not fit"):
        tiny_autoencoder("recurrent", model={**model, "encoder": flat})
