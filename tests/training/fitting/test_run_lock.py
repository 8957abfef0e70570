import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.errors import FolderUnusable, RunInUse
from training.fitting.run_lock import lock_run

HOLDER = """
import sys
from pathlib import Path
from training.fitting.run_lock import lock_run
with lock_run(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock until its standard input ends."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_a_run_of_another_process_is_refused_with_its_number(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(RunInUse, match=rf"run is used by process {holder.pid} on .* since 20"):
        lock_run(tmp_path / "run").__enter__()


def test_a_run_is_waited_for_when_that_is_asked_for(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert holder.stdin is not None
    said: list[str] = []
    ending = threading.Timer(0.3, holder.stdin.close)
    ending.start()

    with lock_run(tmp_path / "run", said.append):
        assert holder.wait(10) == 0

    assert len(said) == 1
    assert f"process {holder.pid}" in said[0]
    ending.join()


def test_the_lock_of_a_process_that_was_killed_is_free(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    holder.kill()
    holder.wait(10)

    with lock_run(tmp_path / "run"):
        pass


def test_a_run_that_was_removed_while_it_was_waited_for_is_locked_anew(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert holder.stdin is not None
    stdin = holder.stdin

    def remove_and_end(_sentence: str) -> None:
        shutil.rmtree(tmp_path / "run")
        stdin.close()

    with lock_run(tmp_path / "run", remove_and_end):
        assert (tmp_path / "run" / "lock").is_file()


def test_a_folder_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")

    with pytest.raises(FolderUnusable, match=r"digits cannot be locked .*Not a directory"):
        lock_run(tmp_path / "runs" / "digits").__enter__()
