"""The service as a process: how it starts, how it stops, and what it says when it cannot start."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.__main__ import ADDRESS_UNAVAILABLE
from tests.bundles import PLANE
from tests.end_to_end.connections import Answer, Connection, request
from tests.end_to_end.servers import (
    ROOT,
    START_SECONDS,
    Server,
    command,
    environment,
    serving,
)
from tests.end_to_end.workers import children, metric, wait_until
from tests.faulty_model import publish_faulty_model, slow_rows

pytestmark = pytest.mark.slow

SHUTDOWN_SECONDS = 3
# Stopping takes a fraction of a second; this much is for machines with other things to do.
STOP_SECONDS = SHUTDOWN_SECONDS + 10


def run_to_its_end(arguments: list[str], **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        arguments,
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def test_an_idle_service_stops_at_once(tiny_models_dir: Path, tmp_path: Path) -> None:
    with (
        serving(tiny_models_dir, tmp_path / "log") as server,
        httpx.Client(base_url=server.url) as kept_alive,
    ):
        kept_alive.get("/healthz")
        status, seconds = server.stop()

    assert status == 0
    assert seconds < STOP_SECONDS
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_that_still_loads_stops_too(
    tiny_models_dir: Path, tmp_path: Path, workers: str
) -> None:
    flags = ("--workers", workers)
    with serving(tiny_models_dir, tmp_path / "log", *flags, wait=False) as server:
        status, seconds = server.stop()

    assert status == 0
    assert seconds < STOP_SECONDS


LOADING_THAT_CALLS_BACK = """
import os, signal
from service.inference.processors import keep_libraries_single_threaded

keep_libraries_single_threaded()
from service import __main__
from service.processes import server

class Noticed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass

def load(settings, service):
    Noticed()
    return service

server._load = load
__main__.main()
"""


def test_a_stop_is_not_lost_where_an_exception_would_be(tmp_path: Path) -> None:
    flags = ("--models-dir", str(tmp_path), "--port", "0", "--workers", "2")
    ended = run_to_its_end([sys.executable, "-c", LOADING_THAT_CALLS_BACK, "serve", *flags])

    assert ended.returncode == 0
    assert "Exception ignored" not in ended.stderr


def wait_until_taken(server: Server) -> None:
    """Wait until the service has the one connection beside that which asks, and what was sent."""
    wait_until(lambda: sum(metric(server, "latentserve_open_connections")) >= 2)
    time.sleep(0.2)  # its request lies in the socket, and is read in the next turn of the loop


def stop_while_it_works(server: Server, seconds: float) -> Answer:
    """Ask for a slow answer, stop the service meanwhile, and return what came."""
    body = json.dumps({"inputs": slow_rows(seconds).tolist()}).encode()
    with Connection(server) as connection, ThreadPoolExecutor(1) as stopper:
        connection.send(request(body))
        wait_until_taken(server)
        stopping = stopper.submit(server.stop)
        answer = connection.receive()
        assert stopping.result()[0] == 0
    return answer


def test_a_request_under_way_is_answered_before_the_service_stops(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path / "models")
    patience = ("--shutdown-timeout-seconds", "60")
    with serving(tmp_path / "models", tmp_path / "log", *patience) as server:
        response = stop_while_it_works(server, 0.4)

    assert response.status == 200
    codes = response.json()["codes"]
    np.testing.assert_allclose(codes, PLANE.encode(slow_rows(0.4)), rtol=1e-4)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_that_takes_too_long_is_told_that_the_service_stops(
    tmp_path: Path, workers: str
) -> None:
    publish_faulty_model(tmp_path / "models")
    flags = ("--shutdown-timeout-seconds", "1", "--workers", workers)
    with serving(tmp_path / "models", tmp_path / "log", *flags) as server:
        response = stop_while_it_works(server, 10 * START_SECONDS)

    assert response.status == 503
    assert response.json()["type"] == "/errors#draining"
    assert response.headers["retry-after"] == "1"
    assert "Traceback" not in server.log.read_text()


def answers_by_path(server: Server) -> dict[str, int]:
    """Ask each worker for several things over new connections; return statuses by path."""
    body = {"inputs": PLANE.rows(1).tolist(), "model": "plane"}
    statuses: dict[str, set[int]] = {}
    for _ in range(4):
        for path in ("/healthz", "/readyz", "/models"):
            response = httpx.get(server.url + path, timeout=START_SECONDS)
            statuses.setdefault(path, set()).add(response.status_code)
        response = httpx.post(f"{server.url}/encode", json=body, timeout=START_SECONDS)
        statuses.setdefault("/encode", set()).add(response.status_code)
    return {path: status for path, (status,) in statuses.items()}


def wait_until_draining(server: Server) -> None:
    while not httpx.get(f"{server.url}/readyz", timeout=START_SECONDS).json()["draining"]:
        time.sleep(0.02)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_that_drains_answers_all_but_readyz_until_a_second_signal_comes(
    tiny_models_dir: Path, tmp_path: Path, workers: str, second: int
) -> None:
    flags = ("--drain-seconds", "600", "--workers", workers)
    with serving(tiny_models_dir, tmp_path / "log", *flags) as server:
        server.process.send_signal(signal.SIGTERM)
        wait_until_draining(server)
        statuses = answers_by_path(server)
        server.process.send_signal(second)
        status = server.process.wait(STOP_SECONDS)

    assert statuses == {"/healthz": 200, "/readyz": 503, "/models": 200, "/encode": 200}
    assert status == (0 if second == signal.SIGTERM else 130)
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_closes_by_itself_when_it_has_drained(
    tiny_models_dir: Path, tmp_path: Path, workers: str
) -> None:
    flags = ("--drain-seconds", "1.5", "--workers", workers)
    with serving(tiny_models_dir, tmp_path / "log", *flags) as server:
        status, seconds = server.stop()

    assert status == 0
    assert 1.5 <= seconds < 1.5 + STOP_SECONDS


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupt_stops_without_draining(
    tiny_models_dir: Path, tmp_path: Path, workers: str
) -> None:
    flags = ("--drain-seconds", "600", "--workers", workers)
    with serving(tiny_models_dir, tmp_path / "log", *flags) as server:
        server.process.send_signal(signal.SIGINT)

        assert server.process.wait(STOP_SECONDS) == 130


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_a_worker_that_dies_while_the_service_drains_has_a_successor_that_drains(
    tiny_models_dir: Path, tmp_path: Path
) -> None:
    flags = ("--drain-seconds", "600", "--workers", "2")
    with serving(tiny_models_dir, tmp_path / "log", *flags) as server:
        server.process.send_signal(signal.SIGTERM)
        wait_until_draining(server)
        os.kill(children(server)[0], signal.SIGKILL)
        wait_until(lambda: metric(server, "latentserve_worker_restarts_total") == [1])
        wait_until(lambda: metric(server, "latentserve_workers") == [2])

        assert answers_by_path(server)["/readyz"] == 503
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(STOP_SECONDS) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_interrupt_ends_everything_at_once(tmp_path: Path, workers: str) -> None:
    publish_faulty_model(tmp_path / "models")
    flags = ("--shutdown-timeout-seconds", "600", "--workers", workers)
    with (
        serving(tmp_path / "models", tmp_path / "log", *flags) as server,
        Connection(server) as connection,
    ):
        body = json.dumps({"inputs": slow_rows(10 * START_SECONDS).tolist()}).encode()
        connection.send(request(body))
        wait_until_taken(server)
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(1)
        server.process.send_signal(signal.SIGINT)

        assert server.process.wait(STOP_SECONDS) == 130
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("flags", "variables", "sentence"),
    [
        (
            [],
            {"PROT": "80"},
            (
                "unknown variable LATENTSERVE_PROT (is LATENTSERVE_PORT meant?);"
                " docs/settings.md lists them all"
            ),
        ),
        (["--models-dir", "nowhere"], {}, "the models folder nowhere does not exist"),
        (["--providers", "tpu"], {}, "unknown provider 'tpu'; there are cpu, cuda and auto"),
    ],
    ids=["variable", "folder", "provider"],
)
def test_what_cannot_be_served_is_one_sentence_and_status_2(
    tmp_path: Path, flags: list[str], variables: dict[str, str], sentence: str
) -> None:
    ended = run_to_its_end(command(*flags), **({"MODELS_DIR": str(tmp_path)} | variables))

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"latentserve: {sentence}\n"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_named_and_the_service_does_not_start(
    tmp_path: Path, workers: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_to_its_end(
            command("--port", str(port), "--models-dir", str(tmp_path), "--workers", workers)
        )

    assert ended.returncode == ADDRESS_UNAVAILABLE
    assert "address already in use" in ended.stderr.lower()
    assert "Traceback" not in ended.stderr
