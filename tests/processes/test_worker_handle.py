"""What a supervisor knows of a worker from its channel and its status."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from service.process_status import ProcessStatus, WorkerStatus
from service.processes.worker_handle import HEARTBEAT_CHECK_SECONDS, SERVING, WorkerHandle

START = 1000.0


@pytest.fixture
def status() -> WorkerStatus:
    """The slot of a worker whose predecessor has ended."""
    status = ProcessStatus(3).workers[2]
    status.start()
    status.opened()
    status.closed()
    status.beat()
    status.end()
    return status


@pytest.fixture
def worker(status: WorkerStatus) -> Iterator[WorkerHandle]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield WorkerHandle(77, ours, status, START)


def check_again_and_again(worker: WorkerHandle, times: int, first: float = START) -> float:
    """Check the heartbeat on time; return when it was checked last."""
    for number in range(1, times + 1):
        worker.check_heartbeat(first + number * HEARTBEAT_CHECK_SECONDS)
    return first + times * HEARTBEAT_CHECK_SECONDS


def test_its_connections_are_those_on_their_way_and_those_it_has(
    worker: WorkerHandle, status: WorkerStatus
) -> None:
    worker.handed_over = 5
    assert worker.connections == 5

    for _ in range(3):
        status.opened()
    status.received(3)
    status.closed()
    assert worker.connections == 4  # two on their way, two that it has


def test_connections_that_could_not_be_opened_are_not_on_their_way(
    worker: WorkerHandle, status: WorkerStatus
) -> None:
    worker.handed_over = 5
    status.received(5)
    status.opened()

    assert worker.connections == 1


def test_it_serves_when_it_says_so(worker: WorkerHandle) -> None:
    assert (worker.serving, worker.leaving) == (False, False)

    worker.receive(SERVING, START)
    assert (worker.serving, worker.leaving) == (True, False)


def test_one_that_has_closed_its_end_leaves_and_is_waited_for(worker: WorkerHandle) -> None:
    worker.receive(SERVING, START)
    worker.receive(b"", START + 7)

    assert (worker.serving, worker.leaving, worker.waited_for_since) == (False, True, START + 7)


def test_one_whose_event_loop_turns_never_stalls(
    worker: WorkerHandle, status: WorkerStatus
) -> None:
    worker.receive(SERVING, START)
    for number in range(1, 100):
        status.beat()
        worker.check_heartbeat(START + number * HEARTBEAT_CHECK_SECONDS)
        assert worker.stalled_seconds == 0


def test_one_whose_event_loop_stands_still_stalls_for_as_long(worker: WorkerHandle) -> None:
    worker.receive(SERVING, START)
    check_again_and_again(worker, 7)

    assert worker.stalled_seconds == pytest.approx(7 * HEARTBEAT_CHECK_SECONDS)


def test_one_that_does_not_even_begin_stalls_too(worker: WorkerHandle) -> None:
    check_again_and_again(worker, 7)

    assert worker.stalled_seconds == pytest.approx(7 * HEARTBEAT_CHECK_SECONDS)


def test_one_whose_event_loop_turns_again_has_not_stalled(
    worker: WorkerHandle, status: WorkerStatus
) -> None:
    worker.receive(SERVING, START)
    now = check_again_and_again(worker, 7)
    status.beat()
    worker.check_heartbeat(now + HEARTBEAT_CHECK_SECONDS)

    assert worker.stalled_seconds == 0


@pytest.fixture(params=["busy", "idle", "stopped"])
def process(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A process that computes, one that waits, and one that computes and has been stopped."""
    program = "import time; time.sleep(600)" if request.param == "idle" else "while True: pass"
    process = subprocess.Popen([sys.executable, "-c", program])
    time.sleep(0.5)
    if request.param == "stopped":
        process.send_signal(signal.SIGSTOP)
    yield request.param, process.pid
    process.kill()
    process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_time_in_which_a_stalled_worker_computes_is_not_idle(
    process: tuple[str, int], status: WorkerStatus
) -> None:
    kind, pid = process
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = WorkerHandle(pid, ours, status, START)
        for number in range(1, 6):
            worker.check_heartbeat(START + number * HEARTBEAT_CHECK_SECONDS)
            time.sleep(0.2)
        stalled, idle = worker.stalled_seconds, worker.idle_seconds
        status.beat()
        worker.check_heartbeat(START + 6 * HEARTBEAT_CHECK_SECONDS)

    assert stalled == 5 * HEARTBEAT_CHECK_SECONDS
    # The first check may only see that it has computed before.
    checks = (0,) if kind == "busy" else (4, 5)
    assert idle in [number * HEARTBEAT_CHECK_SECONDS for number in checks]
    assert (worker.stalled_seconds, worker.idle_seconds) == (0, 0)


def test_one_that_loads_models_does_not_count_as_stalled_whenever_it_loads(
    worker: WorkerHandle, status: WorkerStatus
) -> None:
    worker.receive(SERVING, START)
    now = START
    for _ in range(2):
        status.set_loading(loading=True)
        now = check_again_and_again(worker, 100, now)
        assert worker.stalled_seconds == 0

        status.set_loading(loading=False)
        now = check_again_and_again(worker, 3, now)
        assert worker.stalled_seconds == pytest.approx(3 * HEARTBEAT_CHECK_SECONDS)


def test_time_in_which_nothing_was_checked_does_not_count(worker: WorkerHandle) -> None:
    """The machine was suspended, or the container paused."""
    worker.receive(SERVING, START)
    now = check_again_and_again(worker, 2)
    worker.check_heartbeat(now + 3600)

    assert worker.stalled_seconds == pytest.approx(2 * HEARTBEAT_CHECK_SECONDS)
