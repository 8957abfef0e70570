"""What a process takes of the machine, as Prometheus names it, read from /proc."""

import os
from pathlib import Path
from typing import NamedTuple

_PROCESSES = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat behind the name, which may contain anything. Source: proc_pid_stat(5).
_STATE, _USER_TICKS, _SYSTEM_TICKS, _START_TICKS, _VIRTUAL_BYTES, _RESIDENT_PAGES = (
    0, 11, 12, 19, 20, 21,
)  # fmt: skip


class Usage(NamedTuple):
    """A process at one moment.

    Attributes:
        processor_seconds: Time that its threads have run, in user and system mode.
        resident_bytes: Memory that is in use, shared pages included.
        virtual_bytes: Address space.
        start_seconds: When it was started, in seconds after the boot of the machine.
        runnable: Whether its first thread runs, or waits for nothing but a processor.
    """

    processor_seconds: float
    resident_bytes: int
    virtual_bytes: int
    start_seconds: float
    runnable: bool


def read_usage(process: int) -> Usage | None:
    """Look at a process; None where there is no such process, or no /proc.

    Args:
        process: Its id.
    """
    try:
        line = (_PROCESSES / str(process) / "stat").read_bytes()
    except OSError:
        return None
    fields = line.rpartition(b")")[2].split()
    return Usage(
        (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / _TICKS_PER_SECOND,
        int(fields[_RESIDENT_PAGES]) * _PAGE_BYTES,
        int(fields[_VIRTUAL_BYTES]),
        int(fields[_START_TICKS]) / _TICKS_PER_SECOND,
        fields[_STATE] == b"R",
    )


def boot_seconds() -> float | None:
    """Return when the machine was booted, in seconds of the Unix clock."""
    try:
        lines = (_PROCESSES / "stat").read_text().splitlines()
    except OSError:
        return None
    times = [float(line.split()[1]) for line in lines if line.startswith("btime ")]
    return times[0] if times else None


def count_open_descriptors(process: int) -> int | None:
    """Count the file descriptors of a process; None where that may not be seen.

    Args:
        process: Its id.
    """
    try:
        return len(os.listdir(_PROCESSES / str(process) / "fd"))  # noqa: PTH208  # there may be 100,000
    except OSError:
        return None


def max_descriptors(process: int) -> float | None:
    """Return how many file descriptors a process may have; None where that may not be seen.

    Args:
        process: Its id.
    """
    try:
        lines = (_PROCESSES / str(process) / "limits").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return float("inf") if soft == "unlimited" else float(soft)
    return None
