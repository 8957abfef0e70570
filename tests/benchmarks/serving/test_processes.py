"""A server is all of its processes, wherever they went, and none of them outlives it."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.serving.processes import Server, ServerFailed, adopt_orphans, free_port, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# A web server with one child, and a grandchild that left: its parent ends at once.
DETACHING = 'sleep 60 & (setsid sleep 61 &) ; exec "$0" -m http.server --bind 127.0.0.1 "$1"'


def is_running(process_id: int) -> bool:
    return Path(f"/proc/{process_id}").exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    command = ("sh", "-c", DETACHING, sys.executable, str(port))
    adopt_orphans()
    started = start(command, {}, port, tmp_path / "log")
    try:
        yield started
    finally:
        started.stop()
        adopt_orphans(adopt=False)


def test_it_is_ready_when_it_answers(server: Server) -> None:
    ready_seconds = server.wait_until_ready("/")
    assert 0 < ready_seconds < time.perf_counter() - server.started


def test_a_process_that_left_is_counted_and_ends_with_it(server: Server) -> None:
    server.wait_until_ready("/")
    process_ids = server.process_ids()
    assert server.process.pid in process_ids
    assert len(process_ids) == 3
    server.stop()
    assert server.process_ids() == []
    assert not any(map(is_running, process_ids))


def test_its_memory_and_processor_time_are_those_of_its_processes(server: Server) -> None:
    server.wait_until_ready("/")
    assert 2**20 < server.pss_bytes() < 2**28
    assert 0 < server.cpu_seconds() < 60


def test_processes_that_were_there_before_are_not_its_own(server: Server, tmp_path: Path) -> None:
    server.wait_until_ready("/")
    other = start(("sleep", "60"), {}, free_port(), tmp_path / "other")
    try:
        assert other.process_ids() == [other.process.pid]
    finally:
        other.stop()
    assert is_running(server.process.pid)


def test_one_that_ends_says_why(tmp_path: Path) -> None:
    failing = start(("sh", "-c", "echo no such model; exit 3"), {}, free_port(), tmp_path / "log")
    with pytest.raises(ServerFailed, match=r"ended with 3: no such model"):
        failing.wait_until_ready("/readyz")
    failing.stop()


def test_it_gets_the_variables_of_this_process_and_its_own(tmp_path: Path) -> None:
    command = ("sh", "-c", 'echo "$PATH $MODEL"')
    printing = start(command, {"MODEL": "a.onnx"}, free_port(), tmp_path / "log")
    printing.process.wait()
    assert printing.log_tail() == f"{os.environ['PATH']} a.onnx"
    printing.stop()
