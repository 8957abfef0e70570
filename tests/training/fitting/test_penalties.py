"""Penalties are the numbers that their papers define, and do to codes what they are for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr

from tests.training.tiny_recipes import NoProgress, tiny_autoencoder, tiny_recipe, tiny_rows
from training.arrays import FloatArray
from training.fitting.objectives import objective_terms
from training.fitting.penalties import kl_sparsity, l1_activity, squared_jacobian_norms
from training.fitting.trainer import Trainer
from training.networks.autoencoder import Autoencoder
from training.tensors import to_numpy

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CODES = np.array([[0.5, -1.0], [0.0, 3.0]], np.float32)


def jacobian_norms_by_differences(autoencoder: Autoencoder, rows: FloatArray) -> np.ndarray:
    step = 1e-2
    norms = np.zeros(len(rows))
    for position in np.ndindex(rows.shape[1:]):
        beyond, before = rows.copy(), rows.copy()
        beyond[:, *position] += step
        before[:, *position] -= step
        difference = to_numpy(autoencoder.encode(beyond)[0] - autoencoder.encode(before)[0])
        norms += np.square(difference / (2 * step)).reshape(len(rows), -1).sum(axis=1)
    return norms


def trained(kind: str, weight: float) -> Autoencoder:
    """Train one tiny network with a weight on its penalty."""
    base = tiny_recipe(kind)
    (penalty,) = base.objective.penalties
    penalties = (penalty.model_copy(update={"weight": weight}),)
    objective = base.objective.model_copy(update={"penalties": penalties})
    recipe = base.model_copy(update={"objective": objective})
    autoencoder = tiny_autoencoder(kind)
    trainer = Trainer(autoencoder, recipe, tiny_rows(kind, 128, 1), tiny_rows(kind, 16, 2))
    for epoch in range(1, 26):
        trainer.run_epoch(epoch, NoProgress())
    return autoencoder


def test_l1_activity_sums_over_units_and_averages_over_rows() -> None:
    assert float(l1_activity(CODES)) == pytest.approx((1.5 + 3.0) / 2)


@given(
    target=st.floats(0.01, 0.99),
    activations=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5),
)
def test_kl_sparsity_is_the_divergence_between_bernoullis_summed_over_units(
    target: float, activations: list[float]
) -> None:
    means = np.array(activations)
    expected = rel_entr(target, means) + rel_entr(1 - target, 1 - means)
    # Two rows around each mean: only the mean counts.
    spread = np.minimum(means, 1 - means) / 2
    codes = np.stack([means - spread, means + spread]).astype(np.float32)
    assert float(kl_sparsity(codes, target)) == pytest.approx(expected.sum(), rel=1e-3, abs=1e-5)


def test_kl_sparsity_stays_finite_where_a_unit_is_always_silent() -> None:
    assert math.isfinite(float(kl_sparsity(np.zeros((3, 2), np.float32), 0.1)))


@pytest.mark.parametrize("kind", ["kl-sparse", "contractive"])
def test_jacobian_norms_equal_those_by_finite_differences(kind: str) -> None:
    # One sigmoid layer is written out; two layers go by automatic differentiation.
    autoencoder, rows = tiny_autoencoder(kind), tiny_rows(kind, 3)
    found = to_numpy(squared_jacobian_norms(autoencoder, rows))
    np.testing.assert_allclose(found, jacobian_norms_by_differences(autoencoder, rows), rtol=2e-3)


def test_a_penalty_joins_the_objective_under_its_name_times_its_weight() -> None:
    autoencoder, recipe = tiny_autoencoder("l1-sparse"), tiny_recipe("l1-sparse")
    rows = tiny_rows("l1-sparse", 5)
    terms = objective_terms(autoencoder, recipe.objective, rows, training=False)
    codes = to_numpy(autoencoder.encode(rows)[0])
    assert float(terms["l1-activity"]) == pytest.approx(
        0.01 * np.abs(codes).sum(axis=1).mean(), rel=1e-5
    )


@pytest.mark.slow
def test_a_contractive_network_reacts_less_than_a_plain_one() -> None:
    rows = tiny_rows("contractive", 16, 2)
    norms: list[float] = []
    for weight in (1e-9, 0.01):
        autoencoder = trained("contractive", weight)
        norms.append(float(to_numpy(squared_jacobian_norms(autoencoder, rows)).mean()))
    assert norms[1] < norms[0] / 2


@pytest.mark.slow
def test_kl_sparse_units_come_to_the_target_activation() -> None:
    rows = tiny_rows("kl-sparse", 64, 3)
    means: list[np.ndarray] = []
    for weight in (1e-9, 1.0):
        autoencoder = trained("kl-sparse", weight)
        means.append(to_numpy(autoencoder.encode(rows)[0]).mean(axis=0))
    assert np.abs(means[0] - 0.1).mean() > 0.2
    assert np.abs(means[1] - 0.1).mean() < 0.05
