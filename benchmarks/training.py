"""What an epoch of ``mnist-stacked`` costs here, against a bare ``keras.Model.fit`` of its layers.

    python -m benchmarks.training [--rounds 5] [--recipe mnist-stacked]

Both sides train the same layers with the same optimizer, batches and rows, and evaluate the same
validation rows after it; each takes its turn in every round, so that whatever else the machine
does burdens both. Needs the recipe's data (LATENTSERVE_DATA_DIR).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from service.arrays import FloatArray
from training.data.scaling import fit_scaling
from training.data.source_registry import recipe_source
from training.data.splitting import split_source
from training.fitting.history import EpochRecord
from training.fitting.optimizers import build_optimizer
from training.fitting.trainer import Trainer
from training.networks.building import build_autoencoder
from training.recipe.files import load_recipe
from training.recipe.recipe import Recipe
from training.tensors import to_numpy

AIM = 0.7
KERAS_LOSSES = {
    "binary-cross-entropy": "binary_crossentropy",
    "mean-squared-error": "mean_squared_error",
    "mean-absolute-error": "mean_absolute_error",
}


@dataclass(frozen=True)
class Cost:
    """What one epoch took.

    Attributes:
        seconds: Wall-clock time.
        processor_seconds: Of all threads together; what others do on the machine hardly adds to it.
    """

    seconds: float
    processor_seconds: float


class Silence:
    """Progress that nobody watches."""

    def step(self, epoch: int, fraction: float) -> None:
        """Ignore how far an epoch is."""

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        """Ignore a finished epoch."""


def main() -> None:
    """Measure and print, the ratio first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipe", default="mnist-stacked")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    if recipe.model.family != "plain" or recipe.corruption is not None:
        raise SystemExit(f"{recipe.name} has more to its objective than a loss to compile")
    train, validation = scaled_rows(recipe)
    ours = our_epochs(recipe, train, validation)
    bare = bare_epochs(recipe, train, validation)
    for epoch in (ours, bare):
        epoch()  # compiled and warm: the rounds measure what every later epoch costs
    rounds: list[tuple[Cost, Cost]] = []
    for number in range(arguments.rounds):
        first, second = (ours, bare) if number % 2 == 0 else (bare, ours)
        costs = {first: first(), second: second()}
        rounds.append((costs[ours], costs[bare]))
    ratios = [our_cost.seconds / bare_cost.seconds for our_cost, bare_cost in rounds]
    processor_ratios = [
        our_cost.processor_seconds / bare_cost.processor_seconds for our_cost, bare_cost in rounds
    ]
    print(
        f"ratio {statistics.median(ratios):.2f} of keras.Model.fit (aim under {AIM}),"
        f" from {min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} rounds;"
        f" of processor time {statistics.median(processor_ratios):.2f}"
    )
    for our_cost, bare_cost in rounds:
        print(f"  ours {our_cost.seconds:.2f} s, keras.Model.fit {bare_cost.seconds:.2f} s")
    print(
        f"{recipe.name}: {len(train)} rows in batches of {recipe.training.batch_rows},"
        f" {len(validation)} validation rows, Keras {keras.version()}"
    )


def scaled_rows(recipe: Recipe) -> tuple[FloatArray, FloatArray]:
    """Return the training and validation rows of a recipe as its network sees them."""
    split = split_source(recipe_source(recipe), recipe.data, recipe.seed)
    scaling = fit_scaling(recipe.data.scaling, split.validation.rows)
    train, validation = (
        to_numpy(scaling.scale(part.rows)) for part in (split.train, split.validation)
    )
    return train, validation


def our_epochs(recipe: Recipe, train: FloatArray, validation: FloatArray) -> Callable[[], Cost]:
    """Return a function that trains and validates one epoch as a run does, and times it."""
    trainer = Trainer(build_autoencoder(recipe, train.shape[1:]), recipe, train, validation)
    epochs = 0

    def epoch() -> Cost:
        nonlocal epochs
        epochs += 1
        number = epochs
        return cost_of(lambda: trainer.run_epoch(number, Silence()))

    return epoch


def bare_epochs(recipe: Recipe, train: FloatArray, validation: FloatArray) -> Callable[[], Cost]:
    """Return a function that does the same with ``keras.Model.fit`` on NumPy arrays."""
    layers = build_autoencoder(recipe, train.shape[1:])
    # Its stubs take no number for ``verbose``, though its documentation does.
    model: Any = keras.Model(layers.encoder.input, layers.decoder(layers.encoder.output))
    steps = -(-len(train) // recipe.training.batch_rows)
    model.compile(
        optimizer=build_optimizer(recipe.training, steps),
        loss=KERAS_LOSSES[recipe.objective.reconstruction],
    )

    def epoch() -> Cost:
        return cost_of(
            lambda: model.fit(
                train,
                train,
                batch_size=recipe.training.batch_rows,
                validation_data=(validation, validation),
                verbose=0,
            )
        )

    return epoch


def cost_of(work: Callable[[], object]) -> Cost:
    """Do something once and measure it."""
    started, processor_started = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - started, time.process_time() - processor_started)


if __name__ == "__main__":
    main()
