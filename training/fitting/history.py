"""What the epochs of a run came to, and when a run is over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.recipe.optimization import EarlyStopping, TrainingPart


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did.

    Attributes:
        epoch: From 1.
        seconds: Wall-clock time, validation included.
        learning_rate: After its last step.
        training: Mean terms of the objective over the training rows, by name.
        validation: The same over the validation rows, with the weights after the epoch.
    """

    epoch: int
    seconds: float
    learning_rate: float
    training: dict[str, float]
    validation: dict[str, float]

    @property
    def training_loss(self) -> float:
        """The objective over the training rows, averaged while it was being minimised."""
        return sum(self.training.values())

    @property
    def validation_loss(self) -> float:
        """The objective over the validation rows."""
        return sum(self.validation.values())


def best_epoch(history: Sequence[EpochRecord]) -> EpochRecord:
    """Return the epoch of least validation loss, the first of several."""
    return min(history, key=lambda record: record.validation_loss)


def published_epoch(history: Sequence[EpochRecord], training: TrainingPart) -> EpochRecord:
    """Return the epoch whose weights a recipe wants: the best one, or the last."""
    return history[-1] if training.published_epoch == "last" else best_epoch(history)


def is_finished(history: Sequence[EpochRecord], training: TrainingPart) -> bool:
    """Tell whether a run has had all its epochs, or has stopped improving.

    Args:
        history: Its epochs so far.
        training: The recipe's part.
    """
    if len(history) >= training.epochs:
        return True
    rule = training.early_stopping
    return rule is not None and _epochs_without_improvement(history, rule) >= rule.patience_epochs


def _epochs_without_improvement(history: Sequence[EpochRecord], rule: EarlyStopping) -> int:
    least, waited = math.inf, 0
    for record in history:
        improved = record.validation_loss < least - rule.minimum_improvement
        least, waited = (record.validation_loss, 0) if improved else (least, waited + 1)
    return waited
