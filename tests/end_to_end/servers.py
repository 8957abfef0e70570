"""The service as a program: a process of its own behind a real socket."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.settings import PREFIX

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0  # a guard against hanging, not a promise
SMALL_BATCHES = ("--max-batch-rows", "32", "--no-access-log")
"""Flags of a service that cuts large requests into several batches and joins small ones."""
_ADDRESS = re.compile(r"running on http://([0-9.]+):(\d+)")


@dataclass(frozen=True)
class Server:
    """A running service.

    Attributes:
        process: The process; with several workers, their supervisor.
        host: Address it listens on.
        port: Port it listens on.
        log: The file its log goes to.
    """

    process: "subprocess.Popen[bytes]"
    host: str
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def lines(self) -> list[dict[str, object]]:
        """Read the log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit status and the seconds it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_SECONDS), time.monotonic() - started


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without settings but the given ones."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return inherited | {PREFIX + name: value for name, value in variables.items()}


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "service", "serve", *flags]


@contextmanager
def serving(
    models_dir: Path, log: Path, *flags: str, wait: bool = True, **variables: str
) -> Iterator[Server]:
    """Run the service over a folder of bundles on a free port until the block ends.

    With ``wait`` it begins when every bundle has been loaded or refused, else when it listens.
    """
    with started(command(*flags), models_dir, log, variables=variables) as server:
        while wait and "loading" in _readiness(server):
            time.sleep(0.02)
        yield server


@contextmanager
def started(
    arguments: list[str],
    models_dir: Path,
    log: Path,
    *,
    variables: Mapping[str, str] | None = None,
    stdin: int | None = None,
) -> Iterator[Server]:
    """Run a program that serves, from when it listens until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*arguments, "--models-dir", str(models_dir), "--port", "0"],
            cwd=ROOT,
            env=environment(**(variables or {})),
            stdin=stdin,
            stdout=output,
            stderr=output,
        )
    try:
        host, port = _address(process, log)
        yield Server(process, host, port, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _address(process: "subprocess.Popen[bytes]", log: Path) -> tuple[str, int]:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        if (found := _ADDRESS.search(log.read_text())) and _listens(found[1], int(found[2])):
            return found[1], int(found[2])
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def _listens(host: str, port: int) -> bool:
    """Say whether a connection can be made: with several workers the address is logged before."""
    try:
        socket.create_connection((host, port), START_SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


def _readiness(server: Server) -> str:
    return httpx.get(f"{server.url}/readyz", timeout=START_SECONDS).text
