from pathlib import Path

import numpy as np
import pytest

from tests.training.recipes import DIGITS, NoProgress, digits_recipe, with_training
from training.data.reading import read_rows
from training.data.source_registry import open_source
from training.errors import TrainingDiverged
from training.fitting.checkpoints import RunFolder
from training.fitting.history import EpochRecord, best_epoch
from training.fitting.progress import Progress
from training.fitting.trainer import Trainer, fit
from training.networks.building import build_autoencoder
from training.recipe.recipe import Recipe
from training.tensors import to_numpy

ROWS = read_rows(open_source("digits"))
TRAIN, VALIDATION = ROWS[:430], ROWS[430:560]  # 430 rows leave a batch that is not full


def new_trainer(recipe: Recipe) -> Trainer:
    return Trainer(build_autoencoder(recipe, (8, 8, 1)), recipe, TRAIN, VALIDATION)


def run(
    recipe: Recipe, runs_dir: Path, progress: Progress | None = None
) -> tuple[list[EpochRecord], list[np.ndarray]]:
    """Fit a fresh model; return its history and the weights it ended with."""
    trainer = new_trainer(recipe)
    history = fit(trainer, recipe.training, RunFolder(runs_dir, recipe), progress or NoProgress())
    return history, [to_numpy(weight) for weight in trainer.autoencoder.weights]


def losses(history: list[EpochRecord]) -> list[tuple[dict[str, float], dict[str, float]]]:
    return [(record.training, record.validation) for record in history]


class InterruptedIn:
    """Progress that presses Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def step(self, epoch: int, fraction: float) -> None:
        if epoch == self.epoch and fraction > 0.5:
            raise KeyboardInterrupt

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        pass


# Noise, dropout inside the encoder, momentum and a schedule: all that an epoch could inherit.
SCHEDULED = digits_recipe(
    model={
        **DIGITS["model"],
        "encoder": [{"layer": "dropout", "rate": 0.1}, *DIGITS["model"]["encoder"]],
    },
    training=with_training(
        optimizer={"name": "sgd", "learning_rate": 0.5, "momentum": 0.9},
        schedule={"kind": "cosine", "warmup_epochs": 1},
    ),
)


@pytest.mark.slow
def test_a_run_stopped_in_the_middle_of_an_epoch_ends_as_one_that_was_not(tmp_path: Path) -> None:
    history, weights = run(SCHEDULED, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(SCHEDULED, tmp_path / "interrupted", InterruptedIn(epoch=3))

    continued, continued_weights = run(SCHEDULED, tmp_path / "interrupted")

    assert losses(continued) == losses(history)
    for ours, theirs in zip(continued_weights, weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_training_lowers_the_loss_tells_of_every_epoch_and_is_not_repeated(
    tmp_path: Path,
) -> None:
    told: list[tuple[int, int]] = []

    class Listener(NoProgress):
        def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
            told.append((record.epoch, best_epoch))

    history, weights = run(digits_recipe(), tmp_path, Listener())
    again, weights_again = run(digits_recipe(), tmp_path, InterruptedIn(epoch=1))

    assert history[-1].validation_loss < 0.8 * history[0].validation_loss
    assert told == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert again == history
    np.testing.assert_array_equal(weights_again[0], weights[0])


@pytest.mark.slow
def test_the_weights_are_those_of_the_best_epoch_and_training_stops_when_none_follows(
    tmp_path: Path,
) -> None:
    # A learning rate this large makes the loss jump about.
    recipe = digits_recipe(
        corruption=None,
        training=with_training(
            epochs=30,
            optimizer={"name": "adam", "learning_rate": 0.3},
            early_stopping={"patience_epochs": 3},
        ),
    )

    history, weights = run(recipe, tmp_path)

    best = best_epoch(history)
    assert len(history) == best.epoch + 3 < 30
    trainer = new_trainer(recipe)
    for variable, value in zip(trainer.autoencoder.weights, weights, strict=True):
        variable.assign(value)
    outputs = np.clip(to_numpy(trainer.autoencoder.reconstruct(VALIDATION)), 1e-7, 1 - 1e-7)
    entropy = VALIDATION * np.log(outputs) + (1 - VALIDATION) * np.log(1 - outputs)
    assert -entropy.mean() == pytest.approx(best.validation_loss, rel=1e-4)


def test_every_row_is_counted_once_although_the_last_batch_is_not_full(tmp_path: Path) -> None:
    frozen = digits_recipe(
        corruption=None,
        training=with_training(epochs=1, optimizer={"name": "sgd", "learning_rate": 1e-12}),
    )

    history, _ = run(frozen, tmp_path)

    outputs = to_numpy(build_autoencoder(frozen, (8, 8, 1)).reconstruct(TRAIN))
    entropy = TRAIN * np.log(outputs) + (1 - TRAIN) * np.log(1 - outputs)
    assert history[0].training_loss == pytest.approx(-entropy.mean(), rel=1e-4)


def test_the_learning_rate_rises_then_falls_along_the_schedule(tmp_path: Path) -> None:
    history, _ = run(SCHEDULED, tmp_path)

    rates = [record.learning_rate for record in history]
    assert rates[0] == pytest.approx(0.5, rel=1e-3)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.0, abs=1e-3)


def test_a_loss_that_is_not_finite_ends_training(tmp_path: Path) -> None:
    recipe = digits_recipe(
        objective={"reconstruction": "mean-squared-error", "reconstruction_weight": 1e30},
        model={
            "family": "plain",
            "encoder": [{"layer": "flatten"}, {"layer": "dense", "units": 6}],
            "decoder": [
                {"layer": "dense", "units": 64},
                {"layer": "reshape", "shape": [8, 8, 1]},
            ],
        },
        training=with_training(optimizer={"name": "sgd", "learning_rate": 1e9}),
    )

    with pytest.raises(TrainingDiverged, match="reconstruction term is not finite in epoch 1"):
        run(recipe, tmp_path)
