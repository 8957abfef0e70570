"""The training loop: compiled epochs, checkpoints, early stopping."""

import math
import time
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

from training.arrays import FloatArray
from training.errors import TrainingDiverged
from training.fitting.checkpoints import RunFolder
from training.fitting.history import EpochRecord, is_finished, published_epoch
from training.fitting.objectives import kl_annealing_weight, objective_terms
from training.fitting.optimizers import build_optimizer
from training.fitting.progress import Progress
from training.networks.autoencoder import Autoencoder
from training.recipe.optimization import TrainingPart
from training.recipe.recipe import Recipe
from training.seeds import Stream, generator
from training.tensors import Tensor, to_numpy

EVALUATION_ROWS = 500
PROGRESS_STEPS_PER_EPOCH = 20


class Trainer:
    """One model with its optimizer and data; runs epochs.

    Batches are gathered and weights updated inside a compiled loop, so that Python runs a few
    times an epoch and not once a batch.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        recipe: Recipe,
        train: FloatArray,
        validation: FloatArray,
        conditions: tuple[FloatArray | None, FloatArray | None] = (None, None),
    ) -> None:
        """Copy the data to the device and build the optimizer.

        Args:
            autoencoder: The model; its weights are updated in place.
            recipe: The run's configuration.
            train: Scaled rows, (rows, *row shape).
            validation: Scaled rows, (rows, *row shape).
            conditions: Of both, each (rows, 1) for a conditional model, else None.
        """
        self.autoencoder = autoencoder
        self._recipe = recipe
        self._train = tf.constant(train)
        self._validation = tf.constant(validation)
        self._train_conditions, self._validation_conditions = map(_constant, conditions)
        self._kl_annealing_weight = tf.Variable(tf.constant(1.0), trainable=False)
        self._batch_rows = recipe.training.batch_rows
        self._steps = math.ceil(len(train) / self._batch_rows)
        self._optimizer = build_optimizer(recipe.training, self._steps)
        self._optimizer.build(autoencoder.trainable_variables)
        self._train_steps = tf.function(self._train_steps_eagerly)
        self._batch_terms = tf.function(self._batch_terms_eagerly)
        self._term_names = list(
            self._terms(self._train[:1], _first_row(self._train_conditions), training=False)
        )

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables that the next epoch depends on."""
        return [*self.autoencoder.weights, *self._optimizer.variables]

    def run_epoch(self, epoch: int, progress: Progress) -> EpochRecord:
        """Update the weights with every training row once, then evaluate.

        Args:
            epoch: From 1; order and noise follow from it and the recipe's seed.
            progress: Receives the progress of the epoch.

        Raises:
            TrainingDiverged: The objective is not finite.
        """
        started = time.perf_counter()
        training = self._train_once(epoch, progress)
        validation = self.evaluate(
            self._validation, Stream.VALIDATION_NOISE, self._validation_conditions
        )
        for name, value in {**training, **validation}.items():
            if not math.isfinite(value):
                raise TrainingDiverged(
                    f"the {name} term is not finite in epoch {epoch}: lower the learning rate"
                )
        return EpochRecord(
            epoch=epoch,
            seconds=time.perf_counter() - started,
            learning_rate=float(to_numpy(self._optimizer.learning_rate)),
            training=training,
            validation=validation,
        )

    def evaluate(
        self, rows: Tensor, noise: Stream, conditions: Tensor | None = None
    ) -> dict[str, float]:
        """Average the terms of the objective over rows, with the same noise on every call.

        Args:
            rows: Scaled rows, (rows, *row shape).
            noise: The stream of corruption and random draws.
            conditions: Shape (rows, 1) for a conditional model, else None.

        Returns:
            Each term by name.
        """
        self.autoencoder.reseed(self._recipe.seed, noise)
        totals: dict[str, float] = {}
        for first in range(0, len(rows), EVALUATION_ROWS):
            chosen = slice(first, first + EVALUATION_ROWS)
            batch = rows[chosen]
            batch_conditions = None if conditions is None else conditions[chosen]
            for name, mean in self._batch_terms(batch, batch_conditions).items():
                totals[name] = totals.get(name, 0.0) + float(mean) * len(batch)
        return {name: total / len(rows) for name, total in totals.items()}

    def _train_once(self, epoch: int, progress: Progress) -> dict[str, float]:
        self.autoencoder.reseed(self._recipe.seed, Stream.TRAINING_NOISE, epoch)
        self._kl_annealing_weight.assign(kl_annealing_weight(self._recipe.objective, epoch))
        rows = len(self._train)
        order = tf.constant(
            generator(self._recipe.seed, Stream.SHUFFLE, epoch).permutation(rows), tf.int32
        )
        totals: dict[str, float] = {}
        bounds = np.linspace(0, self._steps, PROGRESS_STEPS_PER_EPOCH + 1).astype(int)
        for first, last in pairwise(bounds):
            sums = self._train_steps(order, tf.constant(first), tf.constant(last))
            for name, total in sums.items():
                totals[name] = totals.get(name, 0.0) + float(total)
            progress.step(epoch, last / self._steps)
        return {name: total / rows for name, total in totals.items()}

    def _train_steps_eagerly(self, order: Tensor, first: Tensor, last: Tensor) -> dict[str, Tensor]:
        sums = dict.fromkeys(self._term_names, tf.constant(0.0))
        for step in tf.range(first, last):
            chosen = order[step * self._batch_rows : (step + 1) * self._batch_rows]
            conditions = _gather(self._train_conditions, chosen)
            terms = self._update(tf.gather(self._train, chosen), conditions)
            count = tf.cast(tf.size(chosen), tf.float32)
            sums = {name: sums[name] + terms[name] * count for name in sums}
        return sums

    def _update(self, batch: Tensor, conditions: Tensor | None) -> dict[str, Tensor]:
        variables = self.autoencoder.trainable_variables
        with tf.GradientTape() as tape:
            terms = self._terms(batch, conditions, training=True)
            loss = tf.add_n(list(terms.values()))
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self._optimizer.apply(gradients, variables)
        return terms

    def _batch_terms_eagerly(self, batch: Tensor, conditions: Tensor | None) -> dict[str, Tensor]:
        return self._terms(batch, conditions, training=False)

    def _terms(
        self, batch: Tensor, conditions: Tensor | None, *, training: bool
    ) -> dict[str, Tensor]:
        return objective_terms(
            self.autoencoder,
            self._recipe.objective,
            batch,
            conditions,
            training=training,
            kl_annealing_weight=self._kl_annealing_weight if training else 1.0,
        )


def fit(
    trainer: Trainer, training: TrainingPart, run: RunFolder, progress: Progress
) -> list[EpochRecord]:
    """Train from the last checkpoint to the end, then restore the weights to be published.

    Every finished epoch is saved in the run's folder: an interrupted run continues to the same
    result, and a finished run is not repeated.

    Args:
        trainer: The model and its data.
        training: The recipe's part.
        run: The folder of checkpoints.
        progress: Receives the progress of training.

    Returns:
        All epochs, those before an interruption included.

    Raises:
        TrainingDiverged: The objective is not finite.
        RunCorrupted: The run's folder holds something else.
    """
    history = run.restore_latest(trainer.variables)
    while not is_finished(history, training):
        history.append(trainer.run_epoch(len(history) + 1, progress))
        best = published_epoch(history, training)
        if best is history[-1]:
            run.save_best(trainer.autoencoder.weights)
        run.save_latest(trainer.variables, history)
        progress.finish_epoch(history[-1], best.epoch)
    run.restore_best(trainer.autoencoder.weights)
    return history


def _constant(conditions: FloatArray | None) -> Tensor | None:
    return None if conditions is None else tf.constant(conditions)


def _gather(conditions: Tensor | None, chosen: Tensor) -> Tensor | None:
    return None if conditions is None else tf.gather(conditions, chosen)


def _first_row(conditions: Tensor | None) -> Tensor | None:
    return None if conditions is None else conditions[:1]
