"""wrk: one fixed request over many connections, as often as a server can take it."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.dialects import Request

SCRIPT = Path(__file__).with_name("load.lua")
TIMEOUT_SECONDS = 30  # wrk's own 2 s would count a slow server's answers as failures


class GeneratorError(Exception):
    """wrk is missing, or printed something else than its summary."""


@dataclass(frozen=True)
class Traffic:
    """What wrk saw.

    Attributes:
        requests: Answers that came back, failures among them.
        seconds: How long it took.
        failures: Answers of another status than 2xx or 3xx, and broken connections.
        p50_ms: Median latency.
        p99_ms: 99th percentile of the latency.
    """

    requests: int
    seconds: float
    failures: int
    p50_ms: float
    p99_ms: float

    @property
    def requests_per_second(self) -> float:
        """Answers of the right kind a second."""
        return max(0, self.requests - self.failures) / self.seconds


def parse_summary(output: str) -> Traffic:
    """Read what the Lua script printed last.

    Args:
        output: Everything that wrk printed.

    Raises:
        GeneratorError: Its last line is no summary.
    """
    try:
        summary = json.loads(output.splitlines()[-1])
        return Traffic(
            summary["requests"],
            summary["microseconds"] / 1e6,
            summary["failures"],
            summary["p50_ms"],
            summary["p99_ms"],
        )
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise GeneratorError(f"wrk printed no summary, but: {output[-300:]!r}") from error


def send(url: str, request: Request, connections: int, seconds: int) -> Traffic:
    """Send one request over and over.

    Args:
        url: Where to.
        request: Its headers and body.
        connections: How many are open at once; each sends its next request after an answer.
        seconds: How long.

    Raises:
        GeneratorError: wrk could not be run.
    """
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    command = ("wrk", "--threads", "1", "--connections", str(connections))
    timing = ("--duration", f"{seconds}s", "--timeout", f"{TIMEOUT_SECONDS}s")
    with tempfile.NamedTemporaryFile() as body:
        body.write(request.content)
        body.flush()
        try:
            finished = subprocess.run(
                [*command, *timing, "--script", str(SCRIPT), url],
                env=os.environ | {"HEADERS": headers, "BODY_FILE": body.name},
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise GeneratorError("wrk is not installed (on Debian: apt install wrk)") from error
    if finished.returncode:
        raise GeneratorError(f"wrk ended with {finished.returncode}: {finished.stderr[-300:]}")
    return parse_summary(finished.stdout)


def version() -> str:
    """Say which wrk there is.

    Raises:
        GeneratorError: There is none.
    """
    try:
        finished = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise GeneratorError("wrk is not installed (on Debian: apt install wrk)") from error
    return finished.stdout.split(" Copyright")[0].strip()
