"""Clients that send without end, read nothing or only wait cost what their limits say, no more."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.connections import Connection
from tests.end_to_end.servers import Server, serving
from tests.faults.memory import MEBIBYTE, forget_peak, peak_bytes, present_bytes
from tests.faults.probes import Probe

pytestmark = pytest.mark.slow

MODELS = Path(__file__).parents[2] / "models"
HEAD = b"POST /%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
STALL_SECONDS = 2.0
ENOUGH_SECONDS = 20.0
PROBE_SECONDS = 1.0  # 0.1 is promised; tests share their processors
HASTY = (
    *("--head-timeout-seconds", "2"),
    *("--keep-alive-seconds", "2"),
    *("--stall-timeout-seconds", str(STALL_SECONDS)),
    "--no-access-log",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(MODELS, tmp_path_factory.mktemp("greedy") / "log", *HASTY) as server:
        yield server


@contextmanager
def sockets(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Open connections, and close them."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((server.host, server.port), 60.0))
            for _ in range(count)
        ]


def send_until_refused(connection: socket.socket, piece: bytes, count: int) -> int:
    """Send a piece so many times, or until the other end does not want any more."""
    sent = 0
    with contextlib.suppress(ConnectionError, TimeoutError):
        for _ in range(count):
            connection.sendall(piece)
            sent += len(piece)
    return sent


def ended(connection: socket.socket, within_seconds: float) -> bytes:
    """Read until the other end closes; return what it said."""
    connection.settimeout(within_seconds)
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            said += piece
    return said


@pytest.mark.parametrize("line", [b"X: y\r\n", b"x" * 1000], ids=["tiny", "one without end"])
@pytest.mark.parametrize("call", [b"encode", b"nowhere"])
def test_trailers_without_end_are_cut_off(server: Server, line: bytes, call: bytes) -> None:
    before = present_bytes(server)
    forget_peak(server)
    with sockets(server, 1) as (connection,), Probe(server) as probe:
        connection.sendall(HEAD % (call, CHUNKED) + b"0\r\n")
        sent = send_until_refused(connection, line * 10_000, 300)
        ended(connection, ENOUGH_SECONDS)

    assert sent < len(line) * 10_000 * 300
    assert peak_bytes(server) - before < 20 * MEBIBYTE
    assert probe.slowest_seconds < PROBE_SECONDS


def test_answers_that_nobody_reads_are_given_up(server: Server) -> None:
    """Each of these would hold 160 MB for as long as its client likes."""
    forget_peak(server)
    asked = HEAD % (b"sample?model=fashion-vae&count=10000", b"Content-Length: 0\r\n")
    with sockets(server, 8) as connections, Probe(server) as probe:
        for connection in connections:
            connection.sendall(asked)
        started = time.monotonic()
        while open_connections(server) > 2:
            assert time.monotonic() - started < 60
            time.sleep(0.2)

    assert probe.slowest_seconds < 2 * PROBE_SECONDS
    assert peak_bytes(server) < (512 + 400) * MEBIBYTE
    assert httpx.post(server.url + "/sample?model=fashion-vae&count=1").status_code == 200


def test_uploads_that_stop_half_way_share_one_budget(server: Server) -> None:
    forget_peak(server)
    head = HEAD % (b"encode", b"Content-Length: 33554432\r\n")
    answers: list[bytes] = []

    def upload(connection: socket.socket) -> None:
        connection.sendall(head)
        send_until_refused(connection, b" " * MEBIBYTE, 16)
        with contextlib.suppress(TimeoutError):
            answers.append(ended(connection, ENOUGH_SECONDS))

    with sockets(server, 60) as connections, Probe(server) as probe:
        uploads = [threading.Thread(target=upload, args=(item,)) for item in connections]
        for thread in uploads:
            thread.start()
        for thread in uploads:
            thread.join()

    assert probe.slowest_seconds < 2 * PROBE_SECONDS
    assert peak_bytes(server) < (512 + 300) * MEBIBYTE
    statuses = {answer.split(b" ")[1] for answer in answers if answer}
    assert statuses == {b"503", b"408"}
    assert any(
        b"/errors#memory-full" in answer and b"retry-after: " in answer for answer in answers
    )


SILENT = {
    "nothing": b"",
    "half a head": b"POST /encode HTTP/1.1\r\nHost: loc",
    "half a body": HEAD % (b"encode", b"Content-Length: 100\r\n") + b'{"inputs"',
    "half a body for no call": HEAD % (b"nowhere", b"Content-Length: 100\r\n"),
    "half a chunk": HEAD % (b"encode", CHUNKED) + b"5\r\nab",
    "a whole request": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("said", SILENT.values(), ids=SILENT)
def test_a_thousand_connections_that_say_no_more_are_closed_in_time(
    server: Server, said: bytes
) -> None:
    with sockets(server, 1000) as connections, Probe(server) as probe:
        for connection in connections:
            connection.sendall(said)
        began = time.monotonic()
        for connection in connections:
            ended(connection, ENOUGH_SECONDS)
        took = time.monotonic() - began

    assert took < ENOUGH_SECONDS
    assert probe.slowest_seconds < 2 * PROBE_SECONDS


def test_a_body_of_a_byte_at_a_time_is_not_waited_for(server: Server) -> None:
    with sockets(server, 1) as (connection,):
        connection.sendall(HEAD % (b"encode", b"Content-Length: 100000\r\n"))
        began = time.monotonic()
        while time.monotonic() - began < ENOUGH_SECONDS:
            if not send_until_refused(connection, b" ", 1):
                break
            time.sleep(0.1)
        said = ended(connection, ENOUGH_SECONDS)

    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in said
    assert time.monotonic() - began < ENOUGH_SECONDS


def test_surplus_connections_are_told_so(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(MODELS, log, "--max-connections", "20") as server, sockets(server, 40) as opened:
        answers = [ended(connection, ENOUGH_SECONDS) for connection in opened[20:]]
        with pytest.raises(TimeoutError):
            ended(opened[0], 0.1)
        for connection in opened:
            connection.close()
        until_answered(server)
        lines = server.lines()

    assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    assert all(b"/errors#too-many-connections" in answer for answer in answers)
    assert sum(line["event"] == "connections are refused" for line in lines) == 1


def test_a_response_that_would_be_too_large_is_refused_before_it_is_made(tmp_path: Path) -> None:
    with serving(MODELS, tmp_path / "log", "--max-response-bytes", "100000") as server:
        query = "/sample?model=fashion-vae&count="
        refused = httpx.post(server.url + query + "10")
        answered = httpx.post(server.url + query + "10", headers={"Accept": "application/x-npy"})

    assert refused.status_code == 413
    assert refused.json()["type"] == "/errors#response-too-large"
    assert "the response to 10 rows would have about" in refused.json()["detail"]
    assert answered.status_code == 200
    assert len(answered.content) < 100_000


def test_what_no_parser_reads_is_a_problem_in_its_turn(server: Server) -> None:
    """And it is counted like every other."""
    before = counted(server, "malformed-head")
    good = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Connection(server) as connection:
        connection.send(good + good + b"nonsense\r\n\r\n" + good)
        answers = [connection.receive() for _ in range(3)]
        with pytest.raises(ConnectionError):
            connection.receive()

    assert [answer.status for answer in answers] == [200, 200, 400]
    problem = answers[2].json()
    assert answers[2].headers["content-type"] == "application/problem+json"
    assert problem["type"] == "/errors#malformed-head"
    assert problem["request_id"] == answers[2].headers["x-request-id"]
    assert counted(server, "malformed-head") == before + 1


def open_connections(server: Server) -> int:
    text = httpx.get(server.url + "/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("latentserve_open_connections{")]
    return sum(int(float(line.split()[-1])) for line in lines)


def counted(server: Server, slug: str) -> float:
    text = httpx.get(server.url + "/metrics").text
    lines = [line for line in text.splitlines() if f'"{slug}"' in line and "problems" in line]
    return sum(float(line.split()[-1]) for line in lines)


def until_answered(server: Server) -> None:
    until = time.monotonic() + ENOUGH_SECONDS
    while httpx.get(server.url + "/healthz").status_code != 200:
        assert time.monotonic() < until
