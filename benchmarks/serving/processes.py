"""A server with all its processes: how it is started, what it costs, how it ends.

A program that adopts orphans has all of a server's processes among its descendants, also those that
a server detaches. Linux only.
"""

import ctypes
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
READY_TIMEOUT_SECONDS = 90.0
STOP_TIMEOUT_SECONDS = 20.0
READY_ANSWERS = 20
POLL_SECONDS = 0.01
LOG_TAIL_CHARACTERS = 1500
CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerFailed(Exception):
    """A server ended or never became ready; the end of its log says why."""


@dataclass(frozen=True)
class Server:
    """A server that was started.

    Attributes:
        process: The process that was started; there may be more.
        others: Descendants of this process that were there before it.
        port: Where it listens.
        log: The file that it prints to.
        started: When, by ``time.perf_counter``.
    """

    process: subprocess.Popen[bytes]
    others: frozenset[int]
    port: int
    log: Path
    started: float

    def wait_until_ready(self, path: str) -> float:
        """Wait until it says again and again that it is ready, and say when it began to.

        Each of its worker processes may answer, so one answer is not enough.

        Args:
            path: Path of its readiness: 200 is yes, and so is 404 where it has no such path.

        Returns:
            Seconds from its start.

        Raises:
            ServerFailed: It ended, or took too long.
        """
        since, answers = 0.0, 0
        while (waited := time.perf_counter() - self.started) < READY_TIMEOUT_SECONDS:
            if self._status_of(path) in (200, 404):
                since, answers = (since if answers else waited), answers + 1
                if answers == READY_ANSWERS:
                    return since
                continue
            answers = 0
            if self.process.poll() is not None:
                raise ServerFailed(f"ended with {self.process.returncode}: {self.log_tail()}")
            time.sleep(POLL_SECONDS)
        raise ServerFailed(f"not ready after {waited:.0f} s: {self.log_tail()}")

    def _status_of(self, path: str) -> int | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def log_tail(self) -> str:
        """Give the end of what it printed."""
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:].strip()

    def process_ids(self) -> list[int]:
        """List its processes, those among them that ended and were not waited for."""
        return sorted(_descendants() - self.others)

    def cpu_seconds(self) -> float:
        """Add up the processor time that its processes have used, user and system."""
        return sum(map(_cpu_seconds, self.process_ids()))

    def pss_bytes(self) -> int:
        """Add up its memory, each shared page divided by the number of its users."""
        return sum(map(_pss_bytes, self.process_ids()))

    def stop(self) -> None:
        """End it as an operator would, and what is left after that by force."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        # What is killed may leave more behind, which is then a child of this process.
        while left := self.process_ids():
            for number in left:
                _kill(number)


def adopt_orphans(*, adopt: bool = True) -> None:
    """Become the parent of descendants whose parent ends, or leave them to init again."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def start(command: Sequence[str], environment: Mapping[str, str], port: int, log: Path) -> Server:
    """Start a server.

    Args:
        command: Program and arguments.
        environment: What it gets besides this process's own environment.
        port: The port that the command makes it listen on.
        log: The file that takes what it prints.
    """
    others = frozenset(_descendants())
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Server(process, others, port, log, started)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _descendants() -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _status_fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, parents = set[int](), [os.getpid()]
    while parents:
        born = children.get(parents.pop(), [])
        found.update(born)
        parents.extend(born)
    return found


def _kill(process_id: int) -> None:
    try:
        os.kill(process_id, signal.SIGKILL)
        os.waitpid(process_id, 0)
    except (ProcessLookupError, ChildProcessError):  # it has ended, or its parent waits for it
        return


def _read(process_id: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process_id}/{name}").read_bytes()
    except OSError:  # it has ended, or belongs to somebody else
        return b""


def _status_fields(process_id: int) -> list[bytes]:
    # Source: proc_pid_stat(5). The second field, a name in parentheses, may hold anything; what
    # follows it starts with the third: state, parent, ...
    return _read(process_id, "stat").rpartition(b")")[2].split()


def _cpu_seconds(process_id: int) -> float:
    user_and_system = _status_fields(process_id)[11:13]
    return sum(map(int, user_and_system)) / CLOCK_TICKS_PER_SECOND


def _pss_bytes(process_id: int) -> int:
    for line in _read(process_id, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0
