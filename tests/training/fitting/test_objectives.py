import numpy as np
import pytest

from tests.training.recipes import VARIATIONAL, digits_recipe
from training.fitting.objectives import RECONSTRUCTION_LOSSES, objective_terms
from training.networks.building import build_autoencoder
from training.seeds import Stream
from training.tensors import to_numpy

ROWS = np.random.default_rng(0).random((7, 8, 8, 1), dtype=np.float32)
TARGETS = np.array([[0.0, 1.0], [0.5, 0.25]], np.float32)
OUTPUTS = np.array([[0.2, 0.9], [0.5, 0.75]], np.float32)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "binary-cross-entropy",
            [
                -(np.log(0.8) + np.log(0.9)) / 2,
                -(np.log(0.5) + 0.25 * np.log(0.75) + 0.75 * np.log(0.25)) / 2,
            ],
        ),
        ("mean-squared-error", [(0.04 + 0.01) / 2, 0.25 / 2]),
        ("mean-absolute-error", [(0.2 + 0.1) / 2, 0.5 / 2]),
    ],
)
def test_a_reconstruction_loss_is_a_mean_over_the_values_of_a_row(
    name: str, expected: list[float]
) -> None:
    losses = to_numpy(RECONSTRUCTION_LOSSES[name](TARGETS, OUTPUTS))

    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_the_divergence_is_that_of_normal_distributions() -> None:
    autoencoder = build_autoencoder(digits_recipe(**VARIATIONAL), (8, 8, 1))
    means = np.array([[0.0, 0.0], [1.0, -2.0]], np.float32)
    variances = np.array([[1.0, 1.0], [0.5, 3.0]], np.float32)

    found = to_numpy(autoencoder.divergence((means, np.log(variances))))

    expected = 0.5 * (variances + means**2 - 1 - np.log(variances)).sum(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_terms_carry_their_weights() -> None:
    recipe = digits_recipe(**VARIATIONAL)
    autoencoder = build_autoencoder(recipe, (8, 8, 1))
    plain = recipe.objective.model_copy(update={"reconstruction_weight": 1.0, "kl_weight": 1.0})

    # Divergences are of the encoder alone; reconstructions are drawn, so one draw is repeated.
    autoencoder.reseed(1, Stream.VALIDATION_NOISE)
    weighted = objective_terms(autoencoder, recipe.objective, ROWS, training=False)
    autoencoder.reseed(1, Stream.VALIDATION_NOISE)
    unweighted = objective_terms(autoencoder, plain, ROWS, training=False)

    assert float(weighted["reconstruction"]) == pytest.approx(
        64 * float(unweighted["reconstruction"]), rel=1e-5
    )
    assert float(weighted["divergence"]) == pytest.approx(
        0.5 * float(unweighted["divergence"]), rel=1e-5
    )


def test_the_loss_is_against_clean_rows() -> None:
    recipe = digits_recipe(corruption={"kind": "masking", "rate": 0.999})
    autoencoder = build_autoencoder(recipe, (8, 8, 1))
    blank = np.zeros_like(ROWS)

    terms = objective_terms(autoencoder, recipe.objective, ROWS, training=True)

    of_blank = to_numpy(autoencoder.reconstruct(blank))
    expected = to_numpy(RECONSTRUCTION_LOSSES["binary-cross-entropy"](ROWS, of_blank)).mean()
    assert float(terms["reconstruction"]) == pytest.approx(float(expected), abs=0.02)
