"""What a forked process starts with, and what is said of its end."""

import signal
import subprocess
import sys

import pytest

from service.processes.forking import describe_exit

# In a program of its own: what runs the tests may have threads, which no fork takes along.
PROGRAM = """
import os, signal, time
from service.processes.forking import fork

signal.signal(signal.SIGTERM, lambda *_: print("the parent's handler", flush=True))
def work():
    {work}
pid = fork(work)
{then}
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def run(work: str, then: str = "") -> list[str]:
    program = PROGRAM.format(work=work, then=then)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return ended.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("work", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('a reason')", 1),
        ("raise ValueError", 1),
    ],
)
def test_a_fork_ends_with_the_status_of_its_work(work: str, status: int) -> None:
    assert run(work) == [str(status)]


def test_a_fork_runs_nothing_that_its_parent_left_for_the_end() -> None:
    assert run("pass", "import atexit; atexit.register(print, 'at exit')") == ["0", "at exit"]


def test_a_fork_has_forgotten_its_parents_handlers() -> None:
    assert run("time.sleep(60)", "os.kill(pid, signal.SIGTERM)") == [str(-signal.SIGTERM)]


def test_a_fork_ignores_a_terminals_interruption() -> None:
    assert run("os.kill(os.getpid(), signal.SIGINT)") == ["0"]


@pytest.mark.parametrize(
    ("exit_code", "description"),
    [(0, "exit status 0"), (3, "exit status 3"), (-9, "SIGKILL"), (-40, "signal 40")],
)
def test_an_end_is_described_by_its_status_or_its_signal(exit_code: int, description: str) -> None:
    assert describe_exit(exit_code) == description
