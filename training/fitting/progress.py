"""Progress of training: a bar on a terminal, else one line per epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

import rich.progress as bars
from rich.console import Console

from training.fitting.history import EpochRecord


class Progress(Protocol):
    """Receives the progress of training."""

    def step(self, epoch: int, fraction: float) -> None:
        """Receive that ``fraction`` of an epoch's batches, in [0, 1], is done."""
        ...

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        """Receive that an epoch is done, and which one is the best so far."""
        ...


class BarProgress:
    """A bar over all epochs, with the loss of the last one."""

    def __init__(self, bar: bars.Progress, task: bars.TaskID, epochs: int) -> None:
        self._bar = bar
        self._task = task
        self._epochs = epochs

    def step(self, epoch: int, fraction: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=epoch - 1 + fraction)

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        """Show the losses of the epoch."""
        self._bar.update(
            self._task,
            completed=record.epoch,
            description=_summary(record, best_epoch, self._epochs),
        )


class LineProgress:
    """One line an epoch, for logs."""

    def __init__(self, console: Console, epochs: int) -> None:
        self._console = console
        self._epochs = epochs

    def step(self, epoch: int, fraction: float) -> None:
        """Do nothing: only whole epochs are logged."""

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        """Write the losses of the epoch."""
        line = f"{_summary(record, best_epoch, self._epochs)}, {record.seconds:.1f} s"
        self._console.print(line, highlight=False)


class OffsetProgress:
    """Progress whose epochs are counted from those of earlier stages."""

    def __init__(self, progress: Progress, earlier_epochs: int) -> None:
        self._progress = progress
        self._earlier_epochs = earlier_epochs

    def step(self, epoch: int, fraction: float) -> None:
        """Forward the progress of an epoch."""
        self._progress.step(self._earlier_epochs + epoch, fraction)

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        """Forward that an epoch is done."""
        counted = replace(record, epoch=self._earlier_epochs + record.epoch)
        self._progress.finish_epoch(counted, self._earlier_epochs + best_epoch)


@contextmanager
def show_progress(console: Console, epochs: int) -> Iterator[BarProgress | LineProgress]:
    """Show the progress of training while the block runs.

    Args:
        console: A terminal gets a bar, anything else lines.
        epochs: Maximum number of epochs.
    """
    if not console.is_terminal:
        yield LineProgress(console, epochs)
        return
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.TimeElapsedColumn())
    with bars.Progress(*columns, console=console) as bar:
        yield BarProgress(bar, bar.add_task("training", total=epochs), epochs)


def _summary(record: EpochRecord, best_epoch: int, epochs: int) -> str:
    width = len(str(epochs))
    return (
        f"epoch {record.epoch:{width}d}/{epochs}: loss {record.training_loss:.4f},"
        f" validation {record.validation_loss:.4f}, best epoch {best_epoch}"
    )
