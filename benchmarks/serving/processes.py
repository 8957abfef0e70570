"""A server with all its processes: how it is started, what it costs, how it ends.

Its processes are known by a variable in their environment, which children inherit, so that none is
missed that left its parent. Linux only.
"""

import http.client
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "BENCHMARK_SUBJECT"
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
        mark: What its processes carry in their environment.
        port: Where it listens.
        log: The file that it prints to.
        started: When, by ``time.perf_counter``.
    """

    process: subprocess.Popen[bytes]
    mark: str
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
        """List its processes."""
        wanted = f"{MARK}={self.mark}".encode()
        return [
            number
            for number in _all_process_ids()
            if wanted in _read(number, "environ").split(b"\0")
        ]

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
        for number in self.process_ids():
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue


def start(command: Sequence[str], environment: Mapping[str, str], port: int, log: Path) -> Server:
    """Start a server.

    Args:
        command: Program and arguments.
        environment: What it gets besides this process's own environment.
        port: The port that the command makes it listen on.
        log: The file that takes what it prints.
    """
    mark = uuid.uuid4().hex
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=os.environ | environment | {MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Server(process, mark, port, log, started)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _all_process_ids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _read(process_id: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process_id}/{name}").read_bytes()
    except OSError:  # it has ended, or belongs to somebody else
        return b""


def _cpu_seconds(process_id: int) -> float:
    # Source: proc_pid_stat(5); the name in parentheses may hold anything, fields 14 and 15 are
    # user and system time.
    after_name = _read(process_id, "stat").rpartition(b")")[2].split()
    return sum(map(int, after_name[11:13])) / CLOCK_TICKS_PER_SECOND


def _pss_bytes(process_id: int) -> int:
    for line in _read(process_id, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0
