"""The divergence of a variational code: KL annealing and free bits in training only."""

import numpy as np
import pytest

from tests.training.tiny_recipes import NoProgress, tiny_autoencoder, tiny_recipe, tiny_rows
from training.fitting.objectives import kl_annealing_weight, mean_divergence
from training.fitting.trainer import Trainer
from training.tensors import to_numpy

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_the_annealing_weight_rises_linearly_from_0_to_1() -> None:
    objective = tiny_recipe("variational").objective.model_copy(update={"kl_warmup_epochs": 4})
    weights = [kl_annealing_weight(objective, epoch) for epoch in range(1, 8)]
    assert weights == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_without_annealing_the_full_divergence_counts_from_the_first_epoch() -> None:
    assert kl_annealing_weight(tiny_recipe("conditional").objective, 1) == 1.0


def test_training_is_annealed_and_validation_is_not() -> None:
    kind = "variational"
    autoencoder, recipe = tiny_autoencoder(kind), tiny_recipe(kind)
    trainer = Trainer(autoencoder, recipe, tiny_rows(kind, 32), tiny_rows(kind, 16))
    first, second = (trainer.run_epoch(epoch, NoProgress()) for epoch in (1, 2))
    assert first.training["divergence"] == 0.0
    assert second.training["divergence"] > 0.0
    # Two units with 0.1 free nats each, times a weight of 0.1: no validation goes below.
    assert first.validation["divergence"] >= 0.02 - 1e-6


def test_divergences_are_those_of_normal_distributions() -> None:
    autoencoder = tiny_autoencoder("variational")
    means = np.array([[0.0, 1.0]], np.float32)
    log_variances = np.log(np.array([[1.0, 4.0]], np.float32))
    found = to_numpy(autoencoder.unit_divergences((means, log_variances)))
    # KL(N(1, 4) || N(0, 1)) = (4 + 1 - 1 - ln 4) / 2.
    np.testing.assert_allclose(found, [[0.0, (4 - np.log(4)) / 2]], atol=1e-6)
    summed = to_numpy(autoencoder.divergence((means, log_variances)))
    np.testing.assert_allclose(summed, found.sum(axis=1))


def test_units_below_the_free_nats_cost_as_much_as_if_they_were_at_them() -> None:
    divergences = np.array([[0.0, 2.0], [0.2, 4.0]], np.float32)
    assert float(mean_divergence(divergences, None)) == pytest.approx(0.1 + 3.0)
    assert float(mean_divergence(divergences, 0.5)) == pytest.approx(0.5 + 3.0)
