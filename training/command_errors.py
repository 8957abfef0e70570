"""What ends a command early, as one sentence and an exit status.

| status | what ended it |
|---|---|
| 1 | data, network, folders, memory, gates |
| 2 | a recipe or wrong usage |
| 3 | another process trains the same recipe |
| 129, 130, 143 | SIGHUP, SIGINT, SIGTERM |

Everything else is a fault of this program and shows its traceback.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer
from rich.console import Console

from service.errors import LatentServeError
from training.errors import LibraryMissing, RecipeError, RunInUse

FAILURE_EXIT_CODE = 1
RECIPE_EXIT_CODE = 2
RUN_IN_USE_EXIT_CODE = 3
SIGNAL_EXIT_CODE = 128  # and the signal's number, as shells say it

CONTINUES = "the same command continues after the last finished epoch"
_STOPPED = {
    signal.SIGHUP: "its terminal was closed",
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
}
_OWN_PACKAGES = ("service", "training")


class _Stopped(BaseException):
    """A signal asked the program to end; not an ``Exception``, so that nothing takes it for one."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number


@contextmanager
def errors_as_messages(console: Console) -> Iterator[None]:
    """End the command with one sentence and its status, whatever ended the block.

    Args:
        console: Where the sentence is written.

    Raises:
        typer.Exit: The block was ended by an error, the operating system, or a signal.
    """
    try:
        with _signals_raised():
            yield
    except LatentServeError as error:
        _fail(console, f"error: {error}", _status(error))
    except BrokenPipeError:
        # What Python has still buffered would raise again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _fail(console, f"error: nothing reads the output any more; {CONTINUES}", FAILURE_EXIT_CODE)
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        _fail(console, f"error: {place}{error.strerror or error}", FAILURE_EXIT_CODE)
    except MemoryError:
        _fail(console, "error: there is not enough memory", FAILURE_EXIT_CODE)
    except _Stopped as stop:
        status = SIGNAL_EXIT_CODE + stop.number
        _fail(console, f"{_STOPPED[stop.number]}; {CONTINUES}", status)


@contextmanager
def missing_libraries_named() -> Iterator[None]:
    """Say how a library is installed that an import in the block does not find.

    Raises:
        LibraryMissing: An import failed outside this project.
    """
    try:
        yield
    except ImportError as error:
        library = (error.name or "").partition(".")[0]
        if library in _OWN_PACKAGES:
            raise
        reason = (
            f"{library} is not installed"
            if isinstance(error, ModuleNotFoundError)
            else f"{library or 'a library'} cannot be loaded ({error})"
        )
        raise LibraryMissing(
            f"training needs more than the service, and {reason}: pip install 'latentserve[train]'"
        ) from error


def _status(error: LatentServeError) -> int:
    if isinstance(error, RecipeError):
        return RECIPE_EXIT_CODE
    return RUN_IN_USE_EXIT_CODE if isinstance(error, RunInUse) else FAILURE_EXIT_CODE


def _fail(console: Console, sentence: str, status: int) -> None:
    if sys.stderr is not None:  # a program can be started without one
        console.print(sentence, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(status)


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Raise ``_Stopped`` in the block on the first signal that asks to end; a second one kills."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        raise _Stopped(signal.Signals(number))

    # What is ignored remains so: SIGHUP under nohup, SIGINT in a shell's background.
    before = {
        number: handler
        for number in _STOPPED
        if (handler := signal.getsignal(number)) != signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
