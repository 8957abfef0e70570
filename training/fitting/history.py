"""The epochs of a run: their losses, the best one, when to stop."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.recipe.optimization import EarlyStopping, TrainingPart


@dataclass(frozen=True)
class EpochRecord:
    """Losses and duration of one epoch.

    Attributes:
        epoch: From 1.
        seconds: Wall-clock time, validation included.
        learning_rate: After its last step.
        training: Terms of the objective by name, as means over the training rows while weights
            were updated.
        validation: Terms as means over the validation rows, with the weights after the epoch.
    """

    epoch: int
    seconds: float
    learning_rate: float
    training: dict[str, float]
    validation: dict[str, float]

    @property
    def training_loss(self) -> float:
        """The objective over the training rows, averaged while weights were updated."""
        return sum(self.training.values())

    @property
    def validation_loss(self) -> float:
        """The objective over the validation rows."""
        return sum(self.validation.values())


def best_epoch(history: Sequence[EpochRecord]) -> EpochRecord:
    """Return the epoch with the lowest validation loss, the first of several."""
    return min(history, key=lambda record: record.validation_loss)


def published_epoch(history: Sequence[EpochRecord], training: TrainingPart) -> EpochRecord:
    """Return the epoch whose weights are published: the best one, or the last."""
    return history[-1] if training.published_epoch == "last" else best_epoch(history)


def is_finished(history: Sequence[EpochRecord], training: TrainingPart) -> bool:
    """Return whether a run has had all its epochs, or early stopping ends it.

    Args:
        history: Its epochs so far.
        training: The recipe's part.
    """
    if len(history) >= training.epochs:
        return True
    rule = training.early_stopping
    return rule is not None and _epochs_without_improvement(history, rule) >= rule.patience_epochs


def _epochs_without_improvement(history: Sequence[EpochRecord], rule: EarlyStopping) -> int:
    lowest, waited = math.inf, 0
    for record in history:
        improved = record.validation_loss < lowest - rule.minimum_improvement
        lowest, waited = (record.validation_loss, 0) if improved else (lowest, waited + 1)
    return waited
