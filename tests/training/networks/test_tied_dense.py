"""A tied layer has no kernel of its own: what the encoder learns, it turns round."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.training.tiny_recipes import (
    KINDS,
    NoProgress,
    tiny_autoencoder,
    tiny_graphs,
    tiny_recipe,
    tiny_rows,
)
from training.errors import RecipeError
from training.export.conversion import export_graph
from training.fitting.trainer import Trainer
from training.networks.autoencoder import Autoencoder
from training.tensors import to_numpy

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def trained() -> Autoencoder:
    autoencoder = tiny_autoencoder("tied")
    rows = tiny_rows("tied", 48)
    trainer = Trainer(autoencoder, tiny_recipe("tied"), rows, rows[:8])
    for epoch in (1, 2):
        trainer.run_epoch(epoch, NoProgress())
    return autoencoder


def weights(autoencoder: Autoencoder) -> dict[str, np.ndarray]:
    return {variable.path: to_numpy(variable) for variable in autoencoder.weights}


def test_only_the_encoder_owns_kernels(trained: Autoencoder) -> None:
    assert {path: values.shape for path, values in weights(trained).items()} == {
        "encoder-1-dense/kernel": (64, 12),
        "encoder-1-dense/bias": (12,),
        "encoder-2-dense/kernel": (12, 4),
        "encoder-2-dense/bias": (4,),
        "decoder-0-tied-dense/bias": (12,),
        "decoder-1-tied-dense/bias": (64,),
    }


def test_a_trained_decoder_multiplies_by_the_encoders_transposed_kernels(
    trained: Autoencoder,
) -> None:
    fresh, learned = weights(tiny_autoencoder("tied")), weights(trained)
    assert all(not np.array_equal(fresh[path], learned[path]) for path in learned)
    codes = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    hidden = codes @ learned["encoder-2-dense/kernel"].T + learned["decoder-0-tied-dense/bias"]
    selu = 1.0507009873554805 * np.where(hidden > 0, hidden, 1.6732632423543772 * np.expm1(hidden))
    logits = selu @ learned["encoder-1-dense/kernel"].T + learned["decoder-1-tied-dense/bias"]
    expected = (1 / (1 + np.exp(-logits))).reshape(-1, 8, 8, 1)
    np.testing.assert_allclose(to_numpy(trained.decode(codes)), expected, atol=1e-5)


def test_the_exported_decoder_holds_the_transposed_kernels(trained: Autoencoder) -> None:
    decoder = next(graph for graph in tiny_graphs("tied", trained) if graph.name == "decoder")
    constants = [
        numpy_helper.to_array(tensor)
        for tensor in onnx.load_from_string(export_graph(decoder)).graph.initializer
    ]
    for layer in ("encoder-1-dense", "encoder-2-dense"):
        kernel = weights(trained)[f"{layer}/kernel"]
        assert any(
            constant.shape in (kernel.shape, kernel.T.shape)
            and (np.array_equal(constant, kernel) or np.array_equal(constant, kernel.T))
            for constant in constants
        )


def test_a_layer_tied_to_one_that_is_not_dense_is_rejected() -> None:
    model = KINDS["tied"]["model"]
    decoder = [{"layer": "tied-dense", "encoder_layer": 0}, *model["decoder"][1:]]
    with pytest.raises(RecipeError, match=r"model.decoder\[0\]: model.encoder\[0\] is not a dense"):
        tiny_recipe("tied", model={**model, "decoder": decoder})


def test_a_tied_layer_that_does_not_fit_names_itself() -> None:
    model = KINDS["tied"]["model"]
    swapped = [model["decoder"][1], model["decoder"][0], *model["decoder"][2:]]
    with pytest.raises(RecipeError, match=r"model.decoder\[0\]: a tied-dense layer does not fit"):
        tiny_autoencoder("tied", model={**model, "decoder": swapped})
