from tests.training.recipes import digits_recipe, with_training
from training.fitting.history import EpochRecord, best_epoch, is_finished
from training.recipe.optimization import TrainingPart


def history(*losses: float) -> list[EpochRecord]:
    return [
        EpochRecord(epoch, 1.0, 0.1, {"reconstruction": 9.0}, {"reconstruction": loss})
        for epoch, loss in enumerate(losses, start=1)
    ]


def training(epochs: int, patience: int | None = None, improvement: float = 0.0) -> TrainingPart:
    rule = {"patience_epochs": patience, "minimum_improvement": improvement}
    part = with_training(epochs=epochs, **({"early_stopping": rule} if patience else {}))
    return digits_recipe(training=part).training


def test_the_best_epoch_is_the_first_of_least_validation_loss() -> None:
    assert best_epoch(history(3.0, 1.0, 2.0, 1.0)).epoch == 2


def test_a_loss_is_the_sum_of_its_terms() -> None:
    record = EpochRecord(1, 1.0, 0.1, {"a": 1.0, "b": 2.0}, {"a": 4.0, "b": 8.0})

    assert (record.training_loss, record.validation_loss) == (3.0, 12.0)


def test_a_run_ends_with_its_last_epoch() -> None:
    assert not is_finished(history(3.0, 2.0), training(epochs=3))
    assert is_finished(history(3.0, 2.0, 1.0), training(epochs=3))


def test_a_run_ends_when_it_has_waited_as_long_as_its_patience() -> None:
    assert not is_finished(history(3.0, 1.0, 2.0), training(epochs=9, patience=2))
    assert is_finished(history(3.0, 1.0, 2.0, 2.0), training(epochs=9, patience=2))


def test_an_improvement_resets_the_wait() -> None:
    assert not is_finished(history(3.0, 2.0, 2.5, 1.0, 1.5), training(epochs=9, patience=2))


def test_an_improvement_below_the_minimum_is_none() -> None:
    slow = history(3.0, 2.95, 2.9)

    assert is_finished(slow, training(epochs=9, patience=2, improvement=0.5))
    assert not is_finished(slow, training(epochs=9, patience=2))
