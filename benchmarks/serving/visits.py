"""One subject at a time: start it, check what it answers, send it every load, stop it.

Only the subject that is measured runs, so that no other one's idle threads count against it.
"""

import http.client
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serving.dialects import Request, Rows
from benchmarks.serving.generator import Traffic, send
from benchmarks.serving.loads import Load, example_rows
from benchmarks.serving.models import ServedModel
from benchmarks.serving.processes import Server, ServerFailed, free_port, start
from benchmarks.serving.subjects import Subject

TOLERANCE = 1e-6  # of the larger of 1 and the largest value
ANSWER_TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.1
WARM_UP_SECONDS = 1
SETTLE_SECONDS = 1.0
IDLE_SECONDS = 5.0


class OtherNumbers(Exception):
    """A server does not answer what onnxruntime alone says."""


@dataclass(frozen=True)
class Measured:
    """One load on one subject.

    Attributes:
        traffic: What the generator saw.
        cpu_seconds: Processor time of all the subject's processes meanwhile.
    """

    traffic: Traffic
    cpu_seconds: float

    @property
    def cpu_microseconds(self) -> float:
        """Processor time of one request."""
        return self.cpu_seconds / max(1, self.traffic.requests) * 1e6


@dataclass(frozen=True)
class Footprint:
    """What a subject takes while nobody asks it anything.

    Attributes:
        ready_seconds: From its start to the first readiness.
        pss_bytes: Memory when it had just become ready.
        loaded_pss_bytes: Memory after the loads.
        idle_cpu: Share of one processor that it uses after the loads, where that was waited for.
    """

    ready_seconds: float
    pss_bytes: int
    loaded_pss_bytes: int
    idle_cpu: float | None


@dataclass(frozen=True)
class Visit:
    """Everything that was seen of a subject between one start and stop."""

    footprint: Footprint
    measured: dict[Load, Measured] = field(default_factory=dict["Load", "Measured"])


def visit(
    subject: Subject, model: ServedModel, loads: Sequence[Load], seconds: int, *, idle: bool
) -> Visit:
    """Start a subject, check it, measure it and stop it.

    Args:
        subject: The subject.
        model: What it serves.
        loads: The loads that it takes.
        seconds: How long each of them lasts.
        idle: Whether to wait and see what it uses when idle.

    Raises:
        ServerFailed: It does not start.
        OtherNumbers: It answers something else than onnxruntime alone.
        GeneratorError: wrk fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        environment = {"MODEL": str(model.graph), "PORT": str(port), "FOLDER": folder}
        environment |= subject.environment
        server = start(subject.command(model, port), environment, port, Path(folder) / "log")
        try:
            ready_seconds = server.wait_until_ready(subject.ready_path)
            time.sleep(SETTLE_SECONDS)
            pss_bytes = server.pss_bytes()
            if subject.answers:
                for load in loads:
                    check(subject, model, load, port)
            measured = {load: measure(subject, model, load, server, seconds) for load in loads}
            idle_cpu = _idle_cpu(server) if idle else None
            footprint = Footprint(ready_seconds, pss_bytes, server.pss_bytes(), idle_cpu)
            return Visit(footprint, measured)
        finally:
            server.stop()


def check(subject: Subject, model: ServedModel, load: Load, port: int) -> None:
    """Compare an answer with what onnxruntime alone says of the same rows.

    A 503 is asked again for a while: of several worker processes one may still be loading.

    Raises:
        OtherNumbers: They differ.
    """
    rows = example_rows(load.rows, model.row_shape)
    dialect = subject.dialects[load.call, load.encoding]
    path, request = subject.paths[load.call], dialect.write(rows)
    deadline = time.perf_counter() + ANSWER_TIMEOUT_SECONDS
    status, headers, body = _ask(port, path, request)
    while status == http.client.SERVICE_UNAVAILABLE and time.perf_counter() < deadline:
        time.sleep(POLL_SECONDS)
        status, headers, body = _ask(port, path, request)
    if status != http.client.OK:
        raise OtherNumbers(f"{load.title}: {status} {body[:300]!r}")
    difference = largest_difference(dialect.read(headers, body), model.direct(load.call)(rows))
    if not difference <= TOLERANCE:
        raise OtherNumbers(f"{load.title}: {difference:.3g} off, of the largest value")


def largest_difference(found: Rows, expected: Rows) -> float:
    """Say how far answers are off, in units of the larger of 1 and the largest expected value.

    Args:
        found: What was answered, in row-major order.
        expected: What it should be.

    Returns:
        The largest deviation; infinite when there are more or fewer numbers.
    """
    if found.size != expected.size:
        return float("inf")
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    return float(np.abs(found.ravel() - expected.ravel()).max(initial=0)) / scale


def measure(
    subject: Subject, model: ServedModel, load: Load, server: Server, seconds: int
) -> Measured:
    """Send one load, after a second of it that does not count."""
    url = f"http://127.0.0.1:{server.port}{subject.paths[load.call]}"
    rows = example_rows(load.rows, model.row_shape)
    request = subject.dialects[load.call, load.encoding].write(rows)
    send(url, request, load.connections, WARM_UP_SECONDS)
    before = server.cpu_seconds()
    traffic = send(url, request, load.connections, seconds)
    cpu_seconds = server.cpu_seconds() - before
    if server.process.poll() is not None:
        raise ServerFailed(f"ended under load: {server.log_tail()}")
    return Measured(traffic, cpu_seconds)


def _idle_cpu(server: Server) -> float:
    time.sleep(SETTLE_SECONDS)
    before, started = server.cpu_seconds(), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    return (server.cpu_seconds() - before) / (time.perf_counter() - started)


def _ask(port: int, path: str, request: Request) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_SECONDS)
    try:
        connection.request("POST", path, request.content, request.headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()
