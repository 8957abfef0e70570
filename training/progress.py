"""How far training is: a bar on a terminal, else one plain line per epoch."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from training.history import EpochRecord


class BarProgress:
    """A bar over all epochs, with the loss of the last one."""

    def __init__(self, bar: Progress, task: TaskID, epochs: int) -> None:
        self._bar = bar
        self._task = task
        self._epochs = epochs

    def step(self, epoch: int, fraction: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=epoch - 1 + fraction)

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        """Show what the epoch came to."""
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
        """Say nothing: a log wants whole epochs."""

    def finish_epoch(self, record: EpochRecord, best_epoch: int) -> None:
        """Write what the epoch came to."""
        line = f"{_summary(record, best_epoch, self._epochs)}, {record.seconds:.1f} s"
        self._console.print(line, highlight=False)


@contextmanager
def show_progress(console: Console, epochs: int) -> Iterator[BarProgress | LineProgress]:
    """Show the progress of training for as long as the block runs.

    Args:
        console: Where to; what it is decides how.
        epochs: Most epochs there will be.
    """
    if not console.is_terminal:
        yield LineProgress(console, epochs)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        yield BarProgress(bar, bar.add_task("training", total=epochs), epochs)


def _summary(record: EpochRecord, best_epoch: int, epochs: int) -> str:
    width = len(str(epochs))
    return (
        f"epoch {record.epoch:{width}d}/{epochs}: loss {record.training_loss:.4f},"
        f" validation {record.validation_loss:.4f}, best epoch {best_epoch}"
    )
