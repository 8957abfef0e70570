"""Several workers behind one port: balance, death under load, hanging, crash loops."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.bundles import PLANE, publish_tiny
from tests.end_to_end.connections import Connection, request
from tests.end_to_end.servers import START_SECONDS, Server, serving, started
from tests.end_to_end.workers import (
    answered,
    children,
    is_running,
    metric,
    thread_count,
    wait_until,
)
from tests.faulty_model import publish_faulty_model, slow_rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]

TWO_WORKERS = ("--workers", "2")
ROWS = PLANE.rows(3)
REQUEST = request(json.dumps({"inputs": ROWS.tolist()}).encode())


@pytest.fixture(scope="module")
def plane_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plane")
    publish_tiny(folder, PLANE)
    return folder


@pytest.fixture
def server(plane_dir: Path, tmp_path: Path) -> Iterator[Server]:
    with serving(plane_dir, tmp_path / "log", *TWO_WORKERS) as server:
        yield server


def open_connections(server: Server) -> list[float]:
    return sorted(metric(server, "latentserve_open_connections"))


def ask(connection: Connection) -> None:
    connection.send(REQUEST)
    response = connection.receive()
    assert response.status == 200
    np.testing.assert_allclose(response.json()["codes"], PLANE.encode(ROWS), atol=1e-5)


@pytest.mark.parametrize("connections", [8, 64])
def test_connections_are_spread_evenly(server: Server, connections: int) -> None:
    with ExitStack() as stack:
        for connection in [stack.enter_context(Connection(server)) for _ in range(connections)]:
            ask(connection)

        fewest, most = open_connections(server)
    assert fewest + most in (connections, connections + 1)  # the one that asks is one of them
    assert most - fewest <= 2

    wait_until(lambda: sum(open_connections(server)) == 1)


class Client(threading.Thread):
    """Asks again and again over one connection, and opens another when it breaks."""

    def __init__(self, server: Server, stopping: threading.Event) -> None:
        super().__init__(daemon=True)  # a test that fails leaves it asking
        self.answers = 0
        self.broken: list[type[Exception]] = []
        self.failures: list[BaseException] = []
        self._server = server
        self._stopping = stopping

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with Connection(self._server) as connection:
                    while not self._stopping.is_set():
                        ask(connection)
                        self.answers += 1
            except OSError as error:
                self.broken.append(type(error))
            except BaseException as error:  # noqa: BLE001  # for the test to see
                self.failures.append(error)


def test_a_worker_killed_under_load_is_replaced_and_nothing_that_was_counted_is_lost(
    server: Server,
) -> None:
    killed, survivor = children(server)
    stopping = threading.Event()
    clients = [Client(server, stopping) for _ in range(8)]
    for client in clients:
        client.start()
    wait_until(lambda: all(client.answers > 5 for client in clients))

    before = answered(server, "encode")
    os.kill(killed, signal.SIGKILL)
    started = time.monotonic()
    wait_until(lambda: killed not in (present := children(server)) and len(present) == 2)
    restart_seconds = time.monotonic() - started
    # Whichever worker answers, the counts of the one that died are there at once.
    assert answered(server, "encode") >= before
    wait_until(lambda: metric(server, "latentserve_workers") == [2])
    answers = [client.answers for client in clients]
    wait_until(
        lambda: all(
            client.answers > count + 5 for client, count in zip(clients, answers, strict=True)
        )
    )
    stopping.set()
    for client in clients:
        client.join()

    assert restart_seconds < START_SECONDS
    assert is_running(survivor)
    assert killed not in children(server)
    assert metric(server, "latentserve_worker_restarts_total") == [1]
    # Only connections of the killed worker broke, and no answer was wrong.
    assert [client.failures for client in clients] == [[]] * len(clients)
    assert {not client.broken for client in clients} == {True, False}
    # What was counted is what was answered, but for requests that the worker's death interrupted
    # between the two.
    received = sum(client.answers for client in clients)
    assert abs(answered(server, "encode") - received) <= len(clients)
    wait_until(lambda: sum(open_connections(server)) == 1)
    with ExitStack() as stack:
        for connection in [stack.enter_context(Connection(server)) for _ in range(8)]:
            ask(connection)
        fewest, most = open_connections(server)
    assert most - fewest <= 2


def test_gauges_of_a_dead_worker_do_not_linger(server: Server) -> None:
    with ExitStack() as stack:
        for connection in [stack.enter_context(Connection(server)) for _ in range(10)]:
            ask(connection)
        os.kill(children(server)[0], signal.SIGKILL)
        wait_until(lambda: metric(server, "latentserve_worker_restarts_total") == [1])

        assert sum(open_connections(server)) <= 7


def test_a_worker_that_is_asked_to_stop_is_replaced_without_a_broken_connection(
    server: Server,
) -> None:
    with Connection(server) as first, Connection(server) as second:
        ask(first)
        ask(second)
        os.kill(children(server)[0], signal.SIGTERM)
        for _ in range(50):
            with Connection(server) as connection:
                ask(connection)
        wait_until(lambda: metric(server, "latentserve_worker_restarts_total") == [1])

    assert len(children(server)) == 2


def test_sigterm_lets_the_requests_of_all_workers_finish(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path / "models")
    patience = (*TWO_WORKERS, "--shutdown-timeout-seconds", "60")
    rows = slow_rows(0.4)
    body = request(json.dumps({"inputs": rows.tolist()}).encode())
    with (
        serving(tmp_path / "models", tmp_path / "log", *patience) as server,
        ExitStack() as stack,
        ThreadPoolExecutor(1) as stopper,
    ):
        connections = [stack.enter_context(Connection(server)) for _ in range(4)]
        for connection in connections:
            connection.send(body)
        wait_until(lambda: open_connections(server)[0] >= 2)
        time.sleep(0.1)
        stopping = stopper.submit(server.stop)
        responses = [connection.receive() for connection in connections]
        status, _ = stopping.result()

        assert [response.status for response in responses] == [200] * 4
        for response in responses:
            np.testing.assert_allclose(response.json()["codes"], PLANE.encode(rows), rtol=1e-4)
        assert status == 0
        with pytest.raises(ConnectionError):
            Connection(server)
    assert "Traceback" not in server.log.read_text()


def test_sigint_stops_all_and_says_so(server: Server) -> None:
    workers = children(server)
    for process in (server.process.pid, *workers):  # as a terminal does
        os.kill(process, signal.SIGINT)

    assert server.process.wait(START_SECONDS) == 130
    assert not any(map(is_running, workers))
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def impatient_server(plane_dir: Path, tmp_path: Path) -> Iterator[Server]:
    flags = (*TWO_WORKERS, "--worker-timeout-seconds", "2")
    with serving(plane_dir, tmp_path / "log", *flags) as server:
        yield server


def json_lines(server: Server, event: str) -> list[dict[str, object]]:
    """Lines of an event, among those that a process prints when it is aborted."""
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line["event"] == event]


def test_a_worker_that_hangs_is_replaced(impatient_server: Server) -> None:
    server = impatient_server
    hanging, survivor = children(server)
    os.kill(hanging, signal.SIGSTOP)
    stopped = time.monotonic()
    wait_until(lambda: not is_running(hanging))
    hung_seconds = time.monotonic() - stopped
    wait_until(lambda: len(children(server)) == 2)
    with ExitStack() as stack:
        for connection in [stack.enter_context(Connection(server)) for _ in range(8)]:
            ask(connection)
        fewest, most = open_connections(server)

    assert hung_seconds >= 2
    assert survivor in children(server)
    assert most - fewest <= 2
    assert metric(server, "latentserve_worker_restarts_total") == [1]
    (hangs,) = json_lines(server, "worker hangs")
    assert (hangs["level"], hangs["pid"]) == ("error", hanging)
    (died,) = json_lines(server, "worker died")
    assert (died["pid"], died["cause"]) == (hanging, "SIGKILL")  # nothing else ends it when stopped


def test_a_worker_that_is_aborted_says_where_it_was(server: Server) -> None:
    os.kill(children(server)[0], signal.SIGABRT)
    wait_until(lambda: json_lines(server, "worker died"))

    (died,) = json_lines(server, "worker died")
    assert died["cause"] == "SIGABRT"
    assert "most recent call first" in server.log.read_text()
    assert "service/processes/server.py" in server.log.read_text()


def test_a_worker_that_hangs_gets_no_connections_that_others_can_take(server: Server) -> None:
    hanging, _ = children(server)
    os.kill(hanging, signal.SIGSTOP)
    time.sleep(2.5)
    with ExitStack() as stack:
        for connection in [stack.enter_context(Connection(server)) for _ in range(8)]:
            ask(connection)
    os.kill(hanging, signal.SIGCONT)
    wait_until(lambda: turning(server, seconds=0.5))

    assert hanging in children(server)
    assert json_lines(server, "worker hangs") == []


def turning(server: Server, seconds: float) -> bool:
    """Say whether the event loops of all workers turn."""
    before = metric(server, "latentserve_heartbeats_total")
    time.sleep(seconds)
    after = metric(server, "latentserve_heartbeats_total")
    return all(later > earlier for earlier, later in zip(before, after, strict=True))


def test_workers_that_were_suspended_with_their_supervisor_are_left_alone(
    impatient_server: Server,
) -> None:
    server = impatient_server
    workers = children(server)
    processes = (server.process.pid, *workers)
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    time.sleep(4)
    for process in processes:
        os.kill(process, signal.SIGCONT)
    time.sleep(3)

    assert turning(server, seconds=0.5)
    assert children(server) == workers
    assert json_lines(server, "worker hangs") == []


def test_workers_that_keep_dying_end_the_service_with_a_reason(server: Server) -> None:
    doomed, survivor = children(server)
    killed = list[int]()
    until = time.monotonic() + START_SECONDS
    while server.process.poll() is None and time.monotonic() < until:
        for child in {doomed, *children(server)} - {survivor, *killed}:
            os.kill(child, signal.SIGKILL)
            killed.append(child)
        time.sleep(0.01)

    assert server.process.wait(START_SECONDS) == 4
    (last,) = (line for line in server.lines() if line["level"] == "critical")
    assert "died 6 times in a row" in str(last["event"])
    assert "SIGKILL" in str(last["event"])
    deaths = [line["pid"] for line in server.lines() if line["event"] == "worker died"]
    assert deaths == killed
    assert not is_running(survivor)


def test_workers_stop_when_their_supervisor_is_gone(server: Server) -> None:
    workers = children(server)
    server.process.kill()
    server.process.wait(START_SECONDS)

    wait_until(lambda: not any(map(is_running, workers)))


LOADING_THAT_WAITS = """
import sys
from service.inference.processors import keep_libraries_single_threaded

keep_libraries_single_threaded()
from service import __main__
from service.processes import server

load = server._load

def load_when_told(settings, service):
    sys.stdin.readline()
    return load(settings, service)

server._load = load_when_told
__main__.main()
"""


def test_connections_that_come_while_models_load_wait_and_are_answered(
    plane_dir: Path, tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", LOADING_THAT_WAITS, "serve", *TWO_WORKERS]
    with started(arguments, plane_dir, tmp_path / "log", stdin=subprocess.PIPE) as server:
        with ExitStack() as stack:
            connections = [stack.enter_context(Connection(server)) for _ in range(4)]
            for connection in connections:
                connection.send(request(b"", path="/readyz", method="GET"))
            assert children(server) == []
            assert server.process.stdin is not None
            server.process.stdin.write(b"\n")
            server.process.stdin.close()

            assert [connection.receive().status for connection in connections] == [200] * 4
        assert server.stop()[0] == 0


def test_a_supervisor_has_one_thread_beside_the_logs_and_workers_start_none_of_their_own(
    server: Server,
) -> None:
    for _ in range(8):
        with Connection(server) as connection:
            ask(connection)

    assert thread_count(server.process.pid) == 2
    # The event loop's, the log's, and those of routes that are not coroutines or of batches.
    assert all(thread_count(worker) <= 4 for worker in children(server))


STARTING_A_THREAD = """
import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


def test_what_cannot_be_forked_is_loaded_by_each_worker(
    plane_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread is there before anything is loaded, as those of linear algebra are where wished."""
    (tmp_path / "sitecustomize.py").write_text(STARTING_A_THREAD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with serving(plane_dir, tmp_path / "log", *TWO_WORKERS) as server:
        wait_until(lambda: len(children(server)) == 2)
        with ExitStack() as stack:
            for connection in [stack.enter_context(Connection(server)) for _ in range(8)]:
                ask(connection)
        (killed, _) = children(server)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: metric(server, "latentserve_worker_restarts_total") == [1])
        for _ in range(20):
            with Connection(server) as connection:
                ask(connection)  # never one that still loads
        wait_until(lambda: loads(server) >= 2)  # the new one may still load
        assert loads(server) <= 3


def loads(server: Server) -> int:
    """Count how often a worker has loaded a model."""
    return sum(line["event"] == "bundle ready" for line in server.lines())
