"""Cheap requests and odd framing cost other clients nothing, and a connection loses nothing."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.api.sockets import chunks, request
from tests.end_to_end.servers import ROOT, Server, serving
from tests.faults.probes import Probe

MODELS = ROOT / "models"
ATTACK_SECONDS = 1.5
ATTACKERS = 4
SLOWEST_SECONDS = 0.5  # half a second and more on a loaded machine where one request waits for all
HOST = {"Host": "localhost"}
HEALTHZ = request(path="/healthz", method="GET", headers=HOST)
CHUNKED = {"Content-Length": "", "Transfer-Encoding": "chunked"}
FLOODS = {
    "line ends": b"\r\n" * 100_000,
    "calls refused by their heads": request(headers=HOST | {"Content-Type": "x/y"}) * 1000,
    "chunks of one byte": 3
    * (
        request(
            path="/nowhere", headers=HOST | {"Content-Length": "", "Transfer-Encoding": "chunked"}
        )
        + chunks(*[b" "] * 50_000)
    ),
    "headers by thousands": HEALTHZ[:-2] + b"a:\r\n" * 15_000 + b"\r\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("framing") / "log"
    with serving(MODELS, log, "--no-access-log") as server:
        yield server


def connect(server: Server) -> socket.socket:
    return socket.create_connection((server.host, server.port), 15)


def statuses(connection: socket.socket, count: int) -> list[bytes]:
    """Read so many answers, or all there are."""
    data = b""
    while data.count(b"HTTP/1.1 ") < count and (piece := connection.recv(65536)):
        data += piece
    return [line[:3] for line in data.split(b"HTTP/1.1 ")[1:]]


def flood(server: Server, data: bytes, until: float) -> None:
    while time.monotonic() < until:
        with connect(server) as connection:
            connection.settimeout(0.5)
            reader = threading.Thread(target=read_all, args=(connection,))
            reader.start()
            try:
                while time.monotonic() < until:
                    connection.sendall(data)
            except OSError:  # the server has had enough
                pass
            reader.join()


def read_all(connection: socket.socket) -> None:
    try:
        while connection.recv(65536):
            pass
    except OSError:
        pass


@pytest.mark.parametrize("kind", FLOODS)
def test_floods_leave_the_event_loop_to_others(server: Server, kind: str) -> None:
    until = time.monotonic() + ATTACK_SECONDS
    attackers = [
        threading.Thread(target=flood, args=(server, FLOODS[kind], until)) for _ in range(ATTACKERS)
    ]
    with Probe(server) as probe:
        for attacker in attackers:
            attacker.start()
        for attacker in attackers:
            attacker.join()

    assert probe.slowest_seconds < SLOWEST_SECONDS


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/nowhere"), ("GET", "/healthz"), ("PUT", "/encode")]
)
def test_what_follows_a_large_body_that_nobody_reads_is_answered(
    server: Server, method: str, path: str
) -> None:
    with connect(server) as connection:
        began = time.monotonic()
        connection.sendall(request(b"x" * 3_000_000, path, method, headers=HOST) + HEALTHZ)

        assert statuses(connection, 2)[1:] == [b"200"]
        assert time.monotonic() - began < 8


def test_headers_by_thousands_are_too_many(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(FLOODS["headers by thousands"])

        assert statuses(connection, 2) == [b"431"]


@pytest.mark.parametrize("count", [1, 10_000])
def test_a_client_that_closes_its_side_gets_its_answers(server: Server, count: int) -> None:
    calls = request(path=f"/sample?model=digits-vae&count={count}", headers=HOST) * 2 + HEALTHZ
    with connect(server) as connection:
        connection.sendall(calls)
        connection.shutdown(socket.SHUT_WR)

        assert statuses(connection, 100) == [b"200"] * 3


def test_nothing_of_it_is_an_error_of_the_service(server: Server) -> None:
    log = server.log.read_text()

    assert "Traceback" not in log
    assert "exc_info" not in log
