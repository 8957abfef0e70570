"""Clients that dawdle, leave, talk out of turn or talk nonsense disturb nobody but themselves."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import numpy as np
import pytest

from tests.bundles import PLANE, publish_tiny
from tests.end_to_end.connections import Answer, Connection, chunk, request
from tests.end_to_end.servers import START_SECONDS, Server, serving
from tests.faulty_model import publish_faulty_model, slow_rows

ROWS = PLANE.rows(2)
GOOD = json.dumps({"inputs": ROWS.tolist()}).encode()
BAD = b'{"inputs": [[1, 2, 3]]}'
TIMEOUT_SECONDS = 1.0
CHUNKED = b"POST /encode HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
LEFT = 499


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("moody")
    publish_faulty_model(folder / "models")
    with serving(folder / "models", folder / "log", "--max-body-bytes", "100000") as server:
        yield server


@pytest.fixture(scope="module")
def impatient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with little time for a request: only for those that must run out of it."""
    folder = tmp_path_factory.mktemp("impatient")
    publish_tiny(folder / "models", PLANE)
    patience = ("--request-timeout-seconds", str(TIMEOUT_SECONDS))
    with serving(folder / "models", folder / "log", *patience) as server:
        yield server


@pytest.fixture(autouse=True)
def _service_goes_on(server: Server) -> Iterator[None]:
    """After each test, somebody polite is answered."""
    yield
    with Connection(server) as connection:
        connection.send(request(GOOD))
        expect_codes(connection.receive())


def expect_codes(answer: Answer) -> None:
    assert answer.status == 200, answer.body
    np.testing.assert_allclose(answer.json()["codes"], PLANE.encode(ROWS), atol=1e-5)


def expect_problem(answer: Answer, status: int, slug: str) -> None:
    assert (answer.status, answer.json()["type"]) == (status, f"/errors#{slug}")
    assert answer.headers["content-type"] == "application/problem+json"


def statuses(server: Server) -> list[object]:
    return [line["status"] for line in server.lines() if line["logger"] == "service.access"]


@pytest.mark.slow
def test_a_body_that_trickles_in_time_is_answered(server: Server) -> None:
    with Connection(server) as connection:
        connection.send(request(b"", length=len(GOOD)))
        for first in range(0, len(GOOD), 16):
            connection.send(GOOD[first : first + 16])
            time.sleep(0.005)
        expect_codes(connection.receive())


def test_a_chunked_body_of_single_bytes_is_answered(server: Server) -> None:
    with Connection(server) as connection:
        connection.send(CHUNKED)
        connection.send(*(chunk(GOOD[number : number + 1]) for number in range(len(GOOD))))
        connection.send(b"0\r\n\r\n")
        expect_codes(connection.receive())


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", GOOD[:10]], ids=["nothing", "its beginning"])
def test_a_body_of_which_only_a_part_comes_is_given_up(
    impatient_server: Server, sent: bytes
) -> None:
    with Connection(impatient_server) as connection:
        connection.send(request(sent, length=len(GOOD)))
        expect_problem(connection.receive(), 504, "deadline-exceeded")


@pytest.mark.slow
def test_a_client_may_finish_its_body_after_it_was_given_up_and_go_on(
    impatient_server: Server,
) -> None:
    with Connection(impatient_server) as connection:
        connection.send(request(b"", length=len(GOOD)))
        expect_problem(connection.receive(), 504, "deadline-exceeded")
        connection.send(GOOD, request(GOOD))
        expect_codes(connection.receive())


def test_a_client_may_leave_in_the_middle_of_its_body(server: Server) -> None:
    with Connection(server) as connection:
        connection.send(request(GOOD[:10], length=len(GOOD)))
    _wait_for(server, LEFT)


def test_a_client_may_leave_while_the_model_works(server: Server) -> None:
    before = statuses(server).count(LEFT)
    with Connection(server) as connection:
        connection.send(request(json.dumps({"inputs": slow_rows(0.5).tolist()}).encode()))
        time.sleep(0.1)
    _wait_for(server, LEFT, before + 1)


def _wait_for(server: Server, status: int, times: int = 1) -> None:
    until = time.monotonic() + START_SECONDS
    while statuses(server).count(status) < times:
        assert time.monotonic() < until, server.log.read_text()
        time.sleep(0.02)


def test_requests_in_one_packet_are_answered_in_order(server: Server) -> None:
    with Connection(server) as connection:
        connection.send(request(BAD) + request(GOOD) + request(b"") + request(GOOD))
        expect_problem(connection.receive(), 422, "invalid-input")
        expect_codes(connection.receive())
        expect_problem(connection.receive(), 400, "malformed-body")
        expect_codes(connection.receive())


def test_a_connection_outlives_its_errors(server: Server) -> None:
    with Connection(server) as connection:
        for body in (BAD, GOOD, b"[" * 5000, GOOD, b"\xff", GOOD):
            connection.send(request(body))
            answer = connection.receive()
            if body == GOOD:
                expect_codes(answer)
            else:
                assert answer.status in (400, 422)


def test_a_client_that_asks_first_is_asked_for_its_body(server: Server) -> None:
    with Connection(server) as connection:
        connection.send(request(b"", "Expect: 100-continue", length=len(GOOD)))
        assert connection.receive().status == 100
        connection.send(GOOD)
        expect_codes(connection.receive())
        connection.send(request(GOOD))  # and the connection is kept
        expect_codes(connection.receive())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "length", "status", "slug"),
    [
        ((), 10**12, 413, "body-too-large"),
        (("Content-Type: text/csv",), 100, 415, "unsupported-media-type"),
        (("Content-Encoding: br",), 100, 415, "unsupported-content-coding"),
    ],
)
def test_a_client_that_asks_first_is_refused_without_its_body(
    server: Server, headers: tuple[str, ...], length: int, status: int, slug: str
) -> None:
    with Connection(server) as connection:
        connection.send(request(b"", "Expect: 100-continue", *headers, length=length))
        answer = connection.receive()
        expect_problem(answer, status, slug)
        # Its body may never come: what it sent next would be taken for it.
        assert answer.headers["connection"] == "close"
        assert connection.is_closed_by_server()


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_a_client_that_sends_a_far_too_large_body_reads_why_it_is_refused(
    server: Server, chunked: bool
) -> None:
    """Closing the connection on it would break the pipe it is still writing to."""
    body = b" " * 20_000_000
    with Connection(server) as connection:
        if chunked:
            connection.send(CHUNKED, chunk(body), b"0\r\n\r\n")
        else:
            connection.send(request(body))
        expect_problem(connection.receive(), 413, "body-too-large")
        connection.send(request(GOOD))
        expect_codes(connection.receive())


def test_an_old_client_is_answered_and_let_go(server: Server) -> None:
    with Connection(server) as connection:
        connection.send(request(GOOD).replace(b"HTTP/1.1", b"HTTP/1.0"))
        expect_codes(connection.receive())
        assert connection.is_closed_by_server()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # a TLS greeting
        b"GET\r\n\r\n",
        b"POST /encode HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /encode HTTP/1.1\r\nContent-Length: 9" + b"9" * 5000 + b"\r\n\r\n",
        b"POST /encode HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        b"POST /encode HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /enc\xff\xfeode HTTP/1.1\r\n\r\n",
        CHUNKED + b"nonsense\r\n",
    ],
    ids=lambda nonsense: repr(nonsense[:30]),
)
def test_nonsense_ends_its_own_connection(server: Server, nonsense: bytes) -> None:
    with Connection(server) as connection:
        connection.send(nonsense)
        answer = connection.receive()
        assert answer.status == 400
        assert connection.is_closed_by_server()


def test_a_very_long_url_is_a_request_like_any_other(server: Server) -> None:
    with Connection(server) as connection:
        connection.send(request(GOOD, path="/encode?" + "x" * 50_000))
        expect_problem(connection.receive(), 422, "invalid-input")
        connection.send(request(GOOD, path="/" + "x" * 50_000))
        expect_problem(connection.receive(), 404, "not-found")


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_offer_of_another_protocol_is_ignored(server: Server, protocol: str) -> None:
    headers = ("Connection: Upgrade", f"Upgrade: {protocol}")
    with Connection(server) as connection:
        connection.send(request(b"", *headers).replace(b"POST /encode", b"GET /healthz"))
        assert connection.receive().json() == {"status": "alive"}
    with Connection(server) as connection:
        connection.send(request(GOOD, *headers))
        assert "codes" in connection.receive().json()


def test_connections_that_say_nothing_keep_nobody_waiting(server: Server) -> None:
    with ExitStack() as silent:
        for _ in range(200):
            silent.enter_context(Connection(server))
        with httpx.Client(base_url=server.url, timeout=START_SECONDS) as http:
            assert http.get("/healthz").status_code == 200
            assert http.post("/encode", content=GOOD).status_code == 200


def test_nothing_that_came_before_was_an_error_of_the_service(server: Server) -> None:
    lines = [line for line in server.lines() if line["logger"] != "service.access"]

    assert [line for line in lines if line["level"] == "error"] == []
    assert 500 not in statuses(server)
