"""Activations in a report are those of the layers, in every kind of network."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.training.tiny_recipes import (
    KINDS,
    NoProgress,
    tiny_autoencoder,
    tiny_conditions,
    tiny_recipe,
    tiny_rows,
)
from training.fitting.checkpoints import RunFolder
from training.fitting.layerwise import fit_layerwise
from training.report.panels.activations import stack_activations
from training.tensors import to_numpy

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROWS = 12


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layer_with_an_activation_gives_what_the_decoder_gives(
    kind: str, tmp_path: Path
) -> None:
    autoencoder = tiny_autoencoder(kind)
    rows, conditions = tiny_rows(kind, ROWS), tiny_conditions(kind, ROWS)
    run = RunFolder(tmp_path, tiny_recipe(kind))
    # Fitting layer by layer uses the same layers in networks of their own.
    fit_layerwise(autoencoder, tiny_recipe(kind), (rows, rows), run, NoProgress())
    codes = autoencoder.encode(rows, conditions)[0]

    encoder = list(stack_activations("encoder", autoencoder.encoder, rows, conditions))
    decoder = list(stack_activations("decoder", autoencoder.decoder, codes, conditions))

    assert encoder
    assert len({layer.title for layer in [*encoder, *decoder]}) == len(encoder) + len(decoder)
    if kind != "recurrent":  # its last layer is linear
        decoded = to_numpy(autoencoder.decode(codes, conditions))
        np.testing.assert_allclose(decoder[-1].values, decoded.ravel(), atol=1e-6)


def test_units_that_never_change_are_counted_dead() -> None:
    layer: Any = keras.layers.Dense(5, activation="relu")
    inputs = keras.Input((3,))
    stack = keras.Model(inputs, layer(inputs))
    kernel, bias = np.ones((3, 5), np.float32), np.zeros(5, np.float32)
    kernel[:, 1], bias[3] = -1, -100  # of positive rows, two units are constant
    layer.set_weights([kernel, bias])

    (found,) = stack_activations("encoder", stack, np.random.default_rng(0).random((9, 3)), None)

    assert found.title == "encoder 1: relu 5, 2 dead"
    assert found.values.shape == (45,)


def test_of_many_activations_some_are_shown() -> None:
    inputs = keras.Input((10,))
    stack = keras.Model(inputs, keras.layers.Dense(100, activation="tanh")(inputs))
    rows = np.random.default_rng(0).normal(size=(500, 10)).astype(np.float32)

    (found,) = stack_activations("decoder", stack, rows, None)

    assert found.title == "decoder 1: tanh 100"
    assert found.values.shape == (20_000,)
    assert found.values.mean() == pytest.approx(to_numpy(stack(rows)).mean(), abs=0.02)
