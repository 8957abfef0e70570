"""wrk's summary is read as it is, and what it sends is what a client would send."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.serving.dialects import Request
from benchmarks.serving.generator import GeneratorError, parse_summary, send

OUTPUT = """Running 2s test @ http://127.0.0.1:8000/reconstruct
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     9.27ms    4.98ms  96.41ms   92.74%
Requests/sec:   4987.03
Transfer/sec:     43.21MB
{"requests": 10000, "microseconds": 2000000, "failures": 40, "p50_ms": 8.760, "p99_ms": 26.900}
"""


def test_a_summary_is_the_last_line_that_wrk_prints() -> None:
    traffic = parse_summary(OUTPUT)
    assert (traffic.requests, traffic.seconds, traffic.failures) == (10_000, 2.0, 40)
    assert (traffic.p50_ms, traffic.p99_ms) == (8.76, 26.9)


def test_failures_are_no_answers() -> None:
    assert parse_summary(OUTPUT).requests_per_second == (10_000 - 40) / 2


@pytest.mark.parametrize("output", ["", "unable to connect\n", "{}\n", '{"requests": 1}\n', "[]\n"])
def test_another_last_line_is_an_error_that_shows_it(output: str) -> None:
    with pytest.raises(GeneratorError, match="no summary"):
        parse_summary(output)


class Recorder(ThreadingHTTPServer):
    """Keeps the requests that arrive, and refuses every second one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RecordingHandler)
        self.seen: list[tuple[str, str | None, str | None, bytes]] = []


class RecordingHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = self.headers
        assert isinstance(self.server, Recorder)
        self.server.seen.append((self.path, headers["Content-Type"], headers["Accept"], body))
        self.send_response(200 if len(self.server.seen) % 2 else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_every_request_carries_the_headers_and_the_bytes(recorder: Recorder) -> None:
    request = Request({"Content-Type": "a/b", "Accept": "c/d: e"}, b"\0{%s}\n\xff")
    url = f"http://127.0.0.1:{recorder.server_port}/reconstruct"
    traffic = send(url, request, connections=1, seconds=1)
    assert set(recorder.seen) == {("/reconstruct", "a/b", "c/d: e", b"\0{%s}\n\xff")}
    assert traffic.requests == pytest.approx(len(recorder.seen), abs=2)
    assert traffic.failures == pytest.approx(traffic.requests / 2, abs=1)
    assert 0 < traffic.p50_ms <= traffic.p99_ms
