"""Bodies that stopped both workers: each legal in its bytes, and all of them at once."""

import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bundles import LABELLED, PEOPLE, PLANE, publish_tiny, tiny_model
from tests.end_to_end.connections import Connection, request
from tests.end_to_end.servers import Server, serving
from tests.end_to_end.workers import children, metric

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_GAP_SECONDS = (
    1.0  # 0.1 to 0.4 on two busy processors; 12 to 32 when bodies were read as a whole
)
MAX_RESIDENT_BYTES = 1024 * 1024 * 1024  # half of it are the bodies themselves; it was 2.7 GB
IMAGE = tiny_model("image", "image", (28, 28, 1))
PERSON, ZEROS = '[41, true, "Bern"]', json.dumps([0] * 784)
ROWS = '{"model": "plane", "inputs": [[1, 2, 3, 4]], '


def filled(head: str, unit: str, tail: str, separator: str = ",") -> bytes:
    """Repeat a unit up to the limit of a body."""
    count = (MAX_BODY_BYTES - len(head) - len(tail)) // len(unit + separator)
    return (head + separator.join([unit] * count) + tail).encode()


def many_keys() -> bytes:
    return ",".join([f'"{key:x}":1' for key in range(2_400_000)]).encode()


BODIES: dict[str, tuple[int, Callable[[], bytes]]] = {
    "an oversized number and small objects": (
        422,
        lambda: filled(ROWS + f'"conditions": {{"a": {"9" * 30}}}, "x": [', "{}", "]}"),
    ),
    "keys": (422, lambda: b"%b%b}" % (ROWS.encode(), many_keys())),
    "ids": (422, lambda: filled(ROWS + '"ids": [', "1", "]}")),
    "empty texts": (422, lambda: filled(ROWS + '"ids": [', '""', "]}")),
    "wrong rows": (413, lambda: filled('{"model": "plane", "inputs": [', "[1]", "]}")),
    "conditions": (
        422,
        lambda: filled('{"model": "labelled", "conditions": {"label": [', "1", "]}}"),
    ),
    "typed rows, mostly white space": (
        200,
        lambda: filled('{"model": "people", "inputs": [', PERSON, "]}", "," + " " * 3400),
    ),
    "rows of zeros": (
        200,
        lambda: filled('{"model": "image", "inputs": [', ZEROS, "]}", "," + " " * 1100),
    ),
}


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for model in (PLANE, PEOPLE, LABELLED, IMAGE):
        publish_tiny(folder, model)
    return folder


@pytest.fixture(scope="module")
def requests() -> list[tuple[int, bytes]]:
    return [(status, request(body(), path="/anomaly-score")) for status, body in BODIES.values()]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [1, 2])
def test_health_is_answered_and_no_worker_replaced_while_all_of_them_are_read(
    models_dir: Path, requests: list[tuple[int, bytes]], workers: int, tmp_path: Path
) -> None:
    flags = ("--workers", str(workers), "--worker-timeout-seconds", "3")
    with serving(models_dir, tmp_path / "log", *flags) as server:
        processes = children(server)
        with Health(server) as health, ThreadPoolExecutor(len(requests)) as threads:
            answers = list(threads.map(lambda each: status_of(server, each[1]), requests))
        resident = [peak_resident_bytes(each) for each in processes or [server.process.pid]]
        replaced = children(server) != processes
        restarts = metric(server, "latentserve_worker_restarts_total")

    assert answers == [status for status, _ in requests]
    assert health.widest_gap < MAX_GAP_SECONDS
    assert sum(resident) < MAX_RESIDENT_BYTES
    assert not replaced
    assert not any(restarts)


class Health:
    """Asks for ``/healthz`` all the time, on a connection of its own."""

    def __init__(self, server: Server) -> None:
        self.widest_gap = 0.0
        self._server = server
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Health":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _ask(self) -> None:
        with Connection(self._server) as connection:
            while not self._stopped.wait(0.01):
                asked = time.monotonic()
                connection.send(request(b"", path="/healthz", method="GET"))
                assert connection.receive().status == 200
                self.widest_gap = max(self.widest_gap, time.monotonic() - asked)


def status_of(server: Server, content: bytes) -> int:
    with Connection(server) as connection:
        connection.send(content)
        return connection.receive().status


def peak_resident_bytes(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (peak,) = [line for line in lines if line.startswith("VmHWM:")]
    return 1024 * int(peak.split()[1])
