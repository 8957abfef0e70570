import numpy as np
import pytest

from tests.training.recipes import DIGITS, VARIATIONAL, digits_recipe
from training.errors import RecipeError
from training.networks.building import build_autoencoder
from training.recipe.files import load_recipe, shipped_recipe_names
from training.recipe.recipe import Recipe
from training.tensors import to_numpy

ROW_SHAPES = {
    "digits": (8, 8, 1),
    "mnist": (28, 28, 1),
    "fashion-mnist": (28, 28, 1),
    "ecg5000": (140, 1),
    "sine": (2,),
    "plane": (3,),
}
ROWS = np.random.default_rng(0).random((5, 8, 8, 1), dtype=np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_recipe_names())
def test_every_shipped_recipe_builds_and_leads_back_to_its_rows(name: str) -> None:
    recipe = load_recipe(name)
    row_shape = ROW_SHAPES[recipe.data.dataset]
    rows = np.zeros((2, *row_shape), np.float32)
    conditions = np.zeros((2, 1), np.float32) if recipe.data.conditions else None

    autoencoder = build_autoencoder(
        recipe, row_shape, categories=10 if conditions is not None else 0
    )

    assert autoencoder.encode(rows, conditions)[0].shape == (2, *autoencoder.code_shape)
    assert autoencoder.reconstruct(rows, conditions).shape == rows.shape


def weights(recipe: Recipe) -> list[np.ndarray]:
    return [to_numpy(weight) for weight in build_autoencoder(recipe, (8, 8, 1)).weights]


def test_weights_follow_from_the_seed() -> None:
    first, again, other = (
        weights(digits_recipe()),
        weights(digits_recipe()),
        weights(digits_recipe(seed=12)),
    )

    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    ("encoder", "decoder", "sentence"),
    [
        (None, [{"layer": "dense", "units": 64}], r"shape \(64,\).*end with a reshape layer"),
        (None, [{"layer": "dense", "units": 63}], r"shape \(63,\), the data has \(8, 8, 1\)$"),
        (None, [{"layer": "reshape", "shape": [5, 5]}], r"model\.decoder\[0\]: a reshape layer"),
        (
            [{"layer": "flatten"}, {"layer": "max-pool"}],
            None,
            r"model\.encoder\[1\]: a max-pool layer does not fit on rows of shape \(64,\)",
        ),
    ],
)
def test_layers_that_do_not_fit_are_named(
    encoder: list[object] | None, decoder: list[object] | None, sentence: str
) -> None:
    model = {**DIGITS["model"]}
    model |= {"encoder": encoder} if encoder else {}
    model |= {"decoder": decoder} if decoder else {}

    with pytest.raises(RecipeError, match=sentence):
        build_autoencoder(digits_recipe(model=model), (8, 8, 1))


def test_a_variational_encoder_must_end_in_one_axis() -> None:
    model = {**VARIATIONAL["model"], "encoder": [{"layer": "activation", "activation": "relu"}]}

    with pytest.raises(RecipeError, match="end with a flatten layer"):
        build_autoencoder(digits_recipe(**{**VARIATIONAL, "model": model}), (8, 8, 1))


def test_a_variational_encoding_is_means_and_log_variances() -> None:
    autoencoder = build_autoencoder(digits_recipe(**VARIATIONAL), (8, 8, 1))

    means, log_variances = autoencoder.encode(ROWS)

    assert means.shape == log_variances.shape == (5, 2)
    assert autoencoder.code_shape == (2,)


def test_a_variational_model_is_served_without_a_draw_and_trained_with_one() -> None:
    autoencoder = build_autoencoder(digits_recipe(**VARIATIONAL), (8, 8, 1))
    encoding = autoencoder.encode(ROWS)

    drawn = to_numpy(autoencoder.training_codes(encoding))

    assert not np.allclose(drawn, encoding[0])
    np.testing.assert_array_equal(
        to_numpy(autoencoder.reconstruct(ROWS)), to_numpy(autoencoder.reconstruct(ROWS))
    )
