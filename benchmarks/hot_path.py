"""Processor time of a request from its bytes to those of its answer, without sockets, on both ways.

    python -m benchmarks.hot_path [--rounds 9]

Connections whose transport is a stand-in send the next request as soon as they have the answer to
the one before; so all of them are open at once, as under load. The same requests go straight to the
pipeline (``service/api/http1``) and, their path written in an unusual way, through the application.
Rounds of all alternate; printed are medians of microseconds a request. Compare
versions by running it in a checkout of each, in turns.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.dense_model import publish_dense_model
from benchmarks.serving.dialects import NamedLists, Octets
from benchmarks.serving.loads import example_rows
from benchmarks.serving.tables import markdown
from service.app import create_service
from service.processes.tuning import freeze_after_startup
from service.processes.worker import Worker, server_config
from service.settings import Settings

DIALECTS = {"binary": Octets(), "JSON": NamedLists("reconstructions")}
CONNECTIONS = (1, 7, 32)
WAYS = {"straight": "/reconstruct", "over ASGI": "/%72econstruct"}
ROUND_SECONDS = 0.3


class LoopBack(asyncio.Transport):
    """The client's side of a connection: it asks again whenever it is answered."""

    def __init__(self, protocol: Any, request: bytes) -> None:
        super().__init__()
        self.answers = 0
        self._open = True
        self._protocol = protocol
        self._request = request
        self._unread = b""
        protocol.connection_made(self)

    def ask(self) -> None:
        """Send a request in the loop's next turn."""
        asyncio.get_running_loop().call_soon(self._protocol.data_received, bytes(self._request))

    def write(self, data: Any) -> None:
        """Take a piece of an answer; uvicorn writes head and body apart, the service together."""
        self._unread += data
        head, end, body = self._unread.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.rpartition(b"content-length: ")[2].split(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(head.decode())
        self._unread = b""
        self.answers += 1
        if self._open:
            self.ask()

    def is_closing(self) -> bool:
        """Whether the connection ends."""
        return not self._open

    def get_write_buffer_size(self) -> int:
        """Count the bytes that have not been taken: everything is, at once."""
        return 0

    def close(self) -> None:
        """Hang up, once what has been asked is answered."""
        self._open = False
        asyncio.get_running_loop().call_later(0.05, self._protocol.connection_lost, None)


def _write_request(rows: int, encoding: str, path: str) -> bytes:
    request = DIALECTS[encoding].write(example_rows(rows, (784,)))
    fields = {"Host": "x", **request.headers, "Content-Length": len(request.content)}
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + request.content


async def _microseconds(worker: Worker, request: bytes, connections: int) -> float:
    """Measure one round."""
    clients = [LoopBack(worker.make_protocol(), request) for _ in range(connections)]
    for client in clients:
        client.ask()
    await asyncio.sleep(ROUND_SECONDS / 3)
    before, started = sum(client.answers for client in clients), time.process_time()
    await asyncio.sleep(ROUND_SECONDS)
    answers = sum(client.answers for client in clients) - before
    cost = (time.process_time() - started) / answers * 1e6
    for client in clients:
        client.close()
    await asyncio.sleep(0.1)
    return cost


def _cases() -> Iterator[tuple[str, int, str]]:
    yield from product(DIALECTS, CONNECTIONS, WAYS)


async def measure(rounds: int, rows: int) -> str:
    """Measure every case in every round; return the table.

    Args:
        rounds: How many.
        rows: Of each request.
    """
    with tempfile.TemporaryDirectory() as folder:
        publish_dense_model(Path(folder))
        quiet = {"access_log": False, "log_level": "error"}
        settings = Settings(models_dir=Path(folder), threads=1, **quiet)
        service = create_service(settings)
        service.reconciler.load_sync()
    worker = Worker(server_config(settings, service), service)
    worker.config.load()
    worker.lifespan = worker.config.lifespan_class(worker.config)
    freeze_after_startup()
    found: dict[tuple[str, int, str], list[float]] = {case: [] for case in _cases()}
    for _ in range(rounds):
        for encoding, connections, way in _cases():
            request = _write_request(rows, encoding, WAYS[way])
            cost = await _microseconds(worker, request, connections)
            found[encoding, connections, way].append(cost)
    table = [
        [f"{encoding}, {connections} at once", *(
            f"{statistics.median(found[encoding, connections, way]):.1f}" for way in WAYS
        )]
        for encoding, connections in product(DIALECTS, CONNECTIONS)
    ]  # fmt: skip
    return markdown([f"{rows} row(s)", *WAYS], table)


def main() -> None:
    """Read the command line, measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=1)
    options = parser.parse_args()
    print(uvloop.run(measure(options.rounds, options.rows)))


if __name__ == "__main__":
    main()
