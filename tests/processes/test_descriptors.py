"""File descriptors: the first three, how many there may be, and pauses."""

import errno
import resource
import subprocess
import sys
import time

import pytest

from service.processes.descriptors import (
    AcceptPause,
    is_connection_error,
    max_connection_descriptors,
)

STANDARD = """
import os
from service.processes.descriptors import open_standard_descriptors
open_standard_descriptors()
opened = os.open("/dev/zero", os.O_RDONLY)
print("to nobody", flush=True)
os._exit(0 if opened > 2 and os.fstat(0) and os.fstat(1) and os.fstat(2) else 1)
"""


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-", ""])
def test_standard_descriptors_that_are_closed_are_opened(closed: str) -> None:
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", STANDARD],
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout == (b"" if "1>&-" in closed else b"to nobody\n")


def test_some_descriptors_are_kept_free_of_connections() -> None:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    assert soft - 64 <= max_connection_descriptors() < soft


@pytest.mark.parametrize(
    ("number", "of_the_connection"),
    [
        (errno.EAGAIN, True), (errno.ECONNABORTED, True), (errno.EPROTO, True),
        (errno.EMFILE, False), (errno.ENFILE, False), (errno.ENOMEM, False),
        (errno.ENOBUFS, False),
    ],
)  # fmt: skip
def test_errors_of_one_connection_are_no_reason_to_wait(
    number: int, of_the_connection: bool
) -> None:
    assert is_connection_error(OSError(number, "")) is of_the_connection


def test_a_pause_ends_by_itself_is_counted_and_is_logged_once_in_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = list[int]()
    pause = AcceptPause(lambda: counted.append(1))
    assert pause.seconds_left(time.monotonic()) == 0

    for _ in range(5):
        pause.begin("no memory")
        assert 0 < pause.seconds_left(time.monotonic()) <= 0.1
        assert pause.seconds_left(time.monotonic() + 1) == 0

    assert len(counted) == 5
    assert [record.message for record in caplog.records] == ["new connections have to wait"]
