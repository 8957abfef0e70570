"""Build the Keras optimizer of a recipe, with its learning-rate schedule."""

from functools import singledispatch
from typing import Any

import keras

from training.recipe.optimization import Adam, CosineSchedule, Rmsprop, Sgd, TrainingPart
from training.recipe.part import RecipePart

# A number or a Keras schedule; the annotations of Keras's optimizers allow only a number.
LearningRate = Any


def build_optimizer(training: TrainingPart, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Build the optimizer of a recipe.

    Args:
        training: The recipe's part.
        steps_per_epoch: Batches in one epoch; recipes state schedules in epochs.
    """
    rate: LearningRate = training.optimizer.learning_rate
    if training.schedule is not None:
        rate = _cosine(training.schedule, rate, training.epochs, steps_per_epoch)
    return _build(training.optimizer, rate)


def _cosine(
    schedule: CosineSchedule, peak: float, epochs: int, steps_per_epoch: int
) -> LearningRate:
    decay_steps = (epochs - schedule.warmup_epochs) * steps_per_epoch
    if not schedule.warmup_epochs:
        return keras.optimizers.schedules.CosineDecay(
            peak, decay_steps, alpha=schedule.final_fraction
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps,
        alpha=schedule.final_fraction,
        warmup_target=peak,
        warmup_steps=schedule.warmup_epochs * steps_per_epoch,
    )


# Checkpoints identify an optimizer's state by its name, which Keras otherwise numbers.
@singledispatch
def _build(optimizer: RecipePart, rate: LearningRate) -> keras.optimizers.Optimizer:
    raise NotImplementedError(f"no builder for {type(optimizer).__name__} at {rate}")


@_build.register
def _(optimizer: Sgd, rate: LearningRate) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(rate, optimizer.momentum, optimizer.nesterov, name="sgd")


@_build.register
def _(optimizer: Adam, rate: LearningRate) -> keras.optimizers.Optimizer:
    del optimizer
    return keras.optimizers.Adam(rate, name="adam")


@_build.register
def _(optimizer: Rmsprop, rate: LearningRate) -> keras.optimizers.Optimizer:
    del optimizer
    return keras.optimizers.RMSprop(rate, name="rm_sprop")
