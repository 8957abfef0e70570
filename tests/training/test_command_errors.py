import importlib
import os
import signal
from pathlib import Path

import pytest
import typer
from rich.console import Console

from training.command_errors import errors_as_messages, missing_libraries_named
from training.errors import LibraryMissing, RecipeError, RunInUse, TrainingError


def ended(action: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run an action that fails; return the exit status and what was said."""
    assert callable(action)
    with pytest.raises(typer.Exit) as end, errors_as_messages(Console(stderr=True)):
        action()
    return end.value.exit_code, capsys.readouterr().err.strip()


def raised(error: BaseException) -> object:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (RecipeError("no such field"), 2, "error: no such field"),
        (RunInUse("used by process 7"), 3, "error: used by process 7"),
        (TrainingError("gates failed"), 1, "error: gates failed"),
        (MemoryError(), 1, "error: there is not enough memory"),
        (OSError(28, "No space left on device"), 1, "error: No space left on device"),
    ],
)
def test_every_kind_of_error_has_its_status_and_one_sentence(
    error: BaseException, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(raised(error), capsys) == (status, sentence)


def test_an_error_of_the_operating_system_names_its_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(tmp_path.read_bytes, capsys) == (1, f"error: {tmp_path}: Is a directory")


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGHUP, 129, "its terminal was closed"),
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
    ],
)
def test_a_signal_ends_in_its_status_and_a_sentence(
    number: signal.Signals, status: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)

    found, said = ended(lambda: os.kill(os.getpid(), number), capsys)

    assert found == status
    assert said == f"{word}; the same command continues after the last finished epoch"
    assert signal.getsignal(number) is before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with errors_as_messages(Console(stderr=True)):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), errors_as_messages(Console(stderr=True)):
        _ = 1 // 0


def test_a_missing_library_is_named_with_what_installs_it() -> None:
    with (
        pytest.raises(LibraryMissing, match=r"no_such_library is not installed: pip install 'lat"),
        missing_libraries_named(),
    ):
        importlib.import_module("no_such_library.part")


def test_a_missing_module_of_this_project_is_a_fault() -> None:
    with pytest.raises(ModuleNotFoundError), missing_libraries_named():
        importlib.import_module("training.no_such_module")
