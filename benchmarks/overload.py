"""The service under more load than it can take: goodput, latency, liveness and recovery.

    python -m benchmarks.overload [--rows 256] [--dialect binary] [--workers 1] [--seconds 6]

The peak is what a few clients get that always wait for their answer. Then requests come at 1, 2 and
10 times that rate whether or not those before them were answered, once from clients that close the
connection after 5 s and once from clients that never give up; at most 500 of them are open. Goodput
counts answers with status 200 that came within 5 s. Beside the load a process of its own asks for
``/healthz``, each time on a new connection. Recovery is the time from the last request until three
requests in a row are answered within 0.2 s.
"""

import argparse
import asyncio
import contextlib
import http.client
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import numpy as np
import uvloop

from benchmarks.serving.dialects import OCTETS, NamedLists, Octets
from benchmarks.serving.processes import start
from benchmarks.serving.tables import markdown

MAX_CONNECTIONS = 500
USEFUL_SECONDS = 5.0
PEAK_CLIENTS = (4, 16, 64)
FACTORS = (1, 2, 10)
CHECK_SECONDS = 0.05
HEALTH_INTERVAL_SECONDS = 0.05
RECOVERED_SECONDS = 0.2
RECOVERED_ANSWERS = 3
MAX_RECOVERY_SECONDS = 60.0
DIALECTS = {"binary": Octets(), "JSON": NamedLists("reconstructions")}


@dataclass
class Outcome:
    """What clients saw of a load.

    Attributes:
        sent: Requests that were sent.
        statuses: How often each status was answered.
        seconds: From the request to its answer, of answers with status 200.
        given_up: Requests whose client closed the connection before an answer.
    """

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])
    seconds: list[float] = field(default_factory=list[float])
    given_up: int = 0

    @property
    def useful(self) -> int:
        """How many answers with status 200 came in time."""
        return sum(seconds <= USEFUL_SECONDS for seconds in self.seconds)


class Client(asyncio.Protocol):
    """One connection: sends the request when it is told to, and reads the answer."""

    def __init__(self, load: "Load") -> None:
        """Belong to a load, which is told of every answer."""
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._missing = 0
        self.sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._load.request)

    def send(self) -> None:
        """Send the request, as soon as there is a connection."""
        self.sent_at = time.perf_counter()
        if self._transport is not None:
            self._transport.write(self._load.request)

    def give_up(self) -> None:
        """Close the connection without waiting for the answer."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read a piece of the answer."""
        if self._missing:
            self._missing -= len(data)
        else:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            length = head.lower().rpartition(b"content-length: ")[2].split(b"\r\n")[0]
            self._missing = int(length) - len(body)
        if not self._missing:
            status, self._head = int(self._head[9:12]), b""
            self._load.answered(self, status, time.perf_counter() - self.sent_at)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's protocol
        """Leave the load."""
        self._load.lost(self)


class Load:
    """Clients of one address that all send the same request."""

    def __init__(
        self,
        port: int,
        request: bytes,
        patience_seconds: float,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """Prepare.

        Args:
            port: Where the service listens on the loopback address.
            request: Head and body.
            patience_seconds: Time after which a client closes its connection.
            max_connections: Requests that are open at the same time at most.
        """
        self._max_connections = max_connections
        self.request = request
        self.outcome = Outcome()
        self._port = port
        self._patience = patience_seconds
        self._idle: list[Client] = []
        self._busy: dict[Client, None] = {}
        self._closed_loop = False

    async def closed(self, clients: int, seconds: float) -> Outcome:
        """Run clients of which each sends its next request when it has its answer."""
        self._closed_loop = True
        for _ in range(clients):
            self._send()
        return await self._run_until(time.perf_counter() + seconds)

    async def open(self, per_second: float, seconds: float) -> Outcome:
        """Send requests at a fixed rate, whatever becomes of those before."""
        started = time.perf_counter()
        checked = started
        while (now := time.perf_counter()) < started + seconds:
            for _ in range(int((now - started) * per_second) - self.outcome.sent):
                if len(self._busy) >= self._max_connections:
                    break
                self._send()
            if now > checked + CHECK_SECONDS:
                checked = now
                self._check_patience(now)
            await asyncio.sleep(0.002)
        return self.outcome

    async def finish(self, seconds: float) -> None:
        """Wait for the answers that are due, then close every connection."""
        await self._run_until(time.perf_counter() + seconds, until_idle=True)
        for client in [*self._busy, *self._idle]:
            client.give_up()
        await asyncio.sleep(0.01)

    async def _run_until(self, end: float, *, until_idle: bool = False) -> Outcome:
        while (now := time.perf_counter()) < end and not (until_idle and not self._busy):
            self._check_patience(now)
            await asyncio.sleep(CHECK_SECONDS)
        self._closed_loop = False
        return self.outcome

    def _send(self) -> None:
        self.outcome.sent += 1
        client = self._idle.pop() if self._idle else self._connect()
        self._busy[client] = None
        client.send()

    def _connect(self) -> Client:
        client = Client(self)
        asyncio.ensure_future(self._try_to_connect(client))  # noqa: RUF006  # ends by itself
        return client

    async def _try_to_connect(self, client: Client) -> None:
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().create_connection(
                lambda: client, "127.0.0.1", self._port
            )
            return
        self.lost(client)

    def answered(self, client: Client, status: int, seconds: float) -> None:
        """Count an answer."""
        self.outcome.statuses[status] += 1
        if status == http.client.OK:
            self.outcome.seconds.append(seconds)
        self._busy.pop(client, None)
        self._idle.append(client)
        if self._closed_loop:
            self._send()

    def lost(self, client: Client) -> None:
        """Count a connection that was closed."""
        if client in self._busy:
            del self._busy[client]
            self.outcome.given_up += 1
        elif client in self._idle:
            self._idle.remove(client)

    def _check_patience(self, now: float) -> None:
        late: deque[Client] = deque()
        for client in self._busy:  # in the order in which they were sent
            if now - client.sent_at < self._patience:
                break
            late.append(client)
        for client in late:
            client.give_up()


@dataclass(frozen=True)
class Measurement:
    """What one load did to the service.

    Attributes:
        outcome: What its clients saw.
        seconds: How long requests were sent.
        health_seconds: Of every ``/healthz``.
        recovery_seconds: From the last request until the service was as quick as before.
    """

    outcome: Outcome
    seconds: float
    health_seconds: list[float]
    recovery_seconds: float

    @property
    def goodput(self) -> float:
        """Useful answers a second."""
        return self.outcome.useful / self.seconds


def measure_peak(port: int, request: bytes, seconds: float) -> float:
    """Return the best goodput of a few clients that wait for their answers."""
    best = 0.0
    for clients in PEAK_CLIENTS:
        outcome = uvloop.run(_closed(port, request, clients, seconds))
        best = max(best, outcome.useful / seconds)
    return best


async def _closed(port: int, request: bytes, clients: int, seconds: float) -> Outcome:
    load = Load(port, request, USEFUL_SECONDS)
    outcome = await load.closed(clients, seconds)
    await load.finish(USEFUL_SECONDS)
    return outcome


def measure_load(
    port: int,
    requests: tuple[bytes, bytes],
    *,
    per_second: float,
    seconds: float,
    patience_seconds: float,
    max_connections: int = MAX_CONNECTIONS,
) -> Measurement:
    """Send requests at a rate, and say what became of them.

    Args:
        port: Where the service listens on the loopback address.
        requests: The load's, and one of a single row that shows when the service has recovered.
        per_second: How many are sent a second.
        seconds: For how long.
        patience_seconds: Time after which a client closes its connection.
        max_connections: Requests that are open at the same time at most.
    """
    load = Load(port, requests[0], patience_seconds, max_connections)
    with _probing(port) as health_seconds:
        recovery = uvloop.run(_open(load, port, requests[1], per_second, seconds))
    return Measurement(load.outcome, seconds, health_seconds, recovery)


async def _open(load: Load, port: int, small: bytes, per_second: float, seconds: float) -> float:
    await load.open(per_second, seconds)
    stopped = time.perf_counter()
    finishing = asyncio.create_task(load.finish(USEFUL_SECONDS))
    recovery = await asyncio.to_thread(_recovery_seconds, port, small, stopped)
    await finishing
    return recovery


def _recovery_seconds(port: int, request: bytes, stopped: float) -> float:
    head, _, body = request.partition(b"\r\n\r\n")
    path = head.split(b" ", 2)[1].decode()
    quick = 0
    while quick < RECOVERED_ANSWERS and time.perf_counter() < stopped + MAX_RECOVERY_SECONDS:
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=MAX_RECOVERY_SECONDS)
        status = 0
        with contextlib.suppress(OSError):
            connection.request("POST", path, body, {"Content-Type": OCTETS})
            status = connection.getresponse().status
        connection.close()
        in_time = time.perf_counter() < began + RECOVERED_SECONDS
        quick = quick + 1 if in_time and status == http.client.OK else 0
        time.sleep(0.01)
    return time.perf_counter() - stopped


@contextlib.contextmanager
def _probing(port: int) -> Iterator[list[float]]:
    """Ask for ``/healthz`` from another process until the block ends."""
    found: list[float] = []
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_probe, args=(port, theirs), daemon=True)
    process.start()
    ours.recv()
    yield found
    ours.send(None)
    found += ours.recv()
    process.join()


def _probe(port: int, channel: Connection) -> None:
    seconds: list[float] = []
    channel.send(None)
    while not channel.poll(HEALTH_INTERVAL_SECONDS):
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.suppress(OSError):
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        connection.close()
        seconds.append(time.perf_counter() - began)
    channel.send(seconds)


def write_request(dialect: str, model: str, shape: tuple[int, ...], rows: int) -> bytes:
    """Write a ``/reconstruct`` of random rows."""
    values = np.random.default_rng(7).random((rows, *shape), np.float32)
    request = DIALECTS[dialect].write(values)
    fields = {"Host": "localhost", **request.headers, "Content-Length": len(request.content)}
    lines = [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join([f"POST /reconstruct?model={model} HTTP/1.1", *lines, "", ""])
    return head.encode() + request.content


def percentile(seconds: list[float], share: float) -> float:
    """Return the value below which a share of all lies; infinity where there is none."""
    return float(np.quantile(seconds, share)) if seconds else float("inf")


def _row(name: str, found: Measurement, peak: float, asked: float) -> list[str]:
    outcome = found.outcome
    ms = [
        f"{1000 * percentile(values, share):.0f}"
        for values in (outcome.seconds, found.health_seconds)
        for share in (0.5, 0.99)
    ]
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(outcome.statuses.items()))
    return [
        name,
        f"{outcome.sent / found.seconds:.0f} of {asked:.0f}",
        f"{found.goodput:.0f}",
        f"{100 * found.goodput / peak:.0f} %",
        *ms,
        f"{max(found.health_seconds, default=0) * 1000:.0f}",
        f"{found.recovery_seconds:.1f}",
        f"{statuses}; gone: {outcome.given_up}",
    ]


HEADER = [
    "load", "sent a second", "goodput a second", "of the peak", "p50 ms", "p99 ms",
    "/healthz p50 ms", "p99 ms", "max ms", "recovery s", "answers",
]  # fmt: skip


def measure(options: argparse.Namespace, port: int) -> str:
    """Measure every load; return the table."""
    shape = tuple(int(length) for length in options.shape.split(","))
    requests = (
        write_request(options.dialect, options.model, shape, options.rows),
        write_request("binary", options.model, shape, 1),
    )
    peak = measure_peak(port, requests[0], options.seconds / 2)
    table: list[list[str]] = []
    for patience, kind in ((USEFUL_SECONDS, "5 s"), (float("inf"), "for ever")):
        for factor in options.factors:
            found = measure_load(
                port,
                requests,
                per_second=factor * peak,
                seconds=options.seconds,
                patience_seconds=patience,
            )
            table.append(_row(f"{factor}x, patient {kind}", found, peak, factor * peak))
            print(table[-1], file=sys.stderr)
    title = f"{options.rows} rows, {options.dialect}, {options.workers} worker(s): "
    return f"{title}peak {peak:.0f} a second\n\n{markdown(HEADER, table)}"


def main() -> None:
    """Read the command line, start the service, measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ecg5000")
    parser.add_argument("--shape", default="140,1", help="of one row")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--dialect", choices=DIALECTS, default="binary")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--factors", type=int, nargs="+", default=FACTORS)
    parser.add_argument("--port", type=int, default=18_273)
    parser.add_argument("flags", nargs="*", help="further flags of latentserve serve, behind --")
    options = parser.parse_args()
    run = partial(measure, options, options.port)
    command = [
        sys.executable, "-m", "service", "serve", "--port", str(options.port), "--log-level",
        "warning", "--required-models", options.model, "--workers", str(options.workers),
        *options.flags,
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        server = start(command, dict(os.environ), options.port, Path(folder) / "log")
        try:
            server.wait_until_ready("/readyz")
            print(run())
        finally:
            server.stop()


if __name__ == "__main__":
    main()
