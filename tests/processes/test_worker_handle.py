"""What a supervisor concludes from what a worker says, has, and does not do."""

import socket
from collections.abc import Iterator

import pytest

from service.metrics.recorder import Recorder
from service.metrics.segments import SharedMemory
from service.processes.worker_handle import HEARTBEAT_CHECK_SECONDS, LOADED, SERVING, WorkerHandle

START = 1000.0


@pytest.fixture
def recorder() -> Recorder:
    """What the worker counts with."""
    recorder = Recorder(SharedMemory(1).segments[0])
    recorder.connections(2).opened()  # by a predecessor, which closed it
    recorder.connections(2).closed()
    recorder.heartbeat(2).beat()
    return recorder


@pytest.fixture
def worker(recorder: Recorder) -> Iterator[WorkerHandle]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield WorkerHandle(2, 77, ours, recorder.connections(2), recorder.heartbeat(2), START)


def look_again_and_again(worker: WorkerHandle, times: int, first: float = START) -> float:
    """Look on time; return when it was done."""
    for number in range(1, times + 1):
        worker.check_heartbeat(first + number * HEARTBEAT_CHECK_SECONDS)
    return first + times * HEARTBEAT_CHECK_SECONDS


def test_its_connections_are_those_on_their_way_and_those_it_has(
    worker: WorkerHandle, recorder: Recorder
) -> None:
    worker.handed = 5
    assert worker.connections == 5

    meter = recorder.connections(2)
    for _ in range(3):
        meter.opened()
    meter.closed()
    assert worker.connections == 4  # two on their way, two that it has


def test_it_serves_when_it_says_so_and_has_loaded_when_it_says_so(worker: WorkerHandle) -> None:
    worker.receive(SERVING, START)
    assert (worker.serving, worker.loaded, worker.leaving) == (True, False, False)

    worker.receive(LOADED, START)
    assert (worker.serving, worker.loaded, worker.leaving) == (True, True, False)


def test_one_that_has_closed_its_end_leaves_and_is_waited_for(worker: WorkerHandle) -> None:
    worker.receive(SERVING + LOADED, START)
    worker.receive(b"", START + 7)

    assert (worker.serving, worker.leaving, worker.waited_for_since) == (False, True, START + 7)


def test_one_whose_event_loop_turns_never_stalls(worker: WorkerHandle, recorder: Recorder) -> None:
    worker.receive(SERVING + LOADED, START)
    for number in range(1, 100):
        recorder.heartbeat(2).beat()
        worker.check_heartbeat(START + number * HEARTBEAT_CHECK_SECONDS)
        assert worker.stalled_seconds == 0


def test_one_that_does_not_move_stalls_for_as_long(worker: WorkerHandle) -> None:
    worker.receive(SERVING + LOADED, START)
    look_again_and_again(worker, 7)

    assert worker.stalled_seconds == pytest.approx(7 * HEARTBEAT_CHECK_SECONDS)


def test_one_that_does_not_even_begin_stalls_too(worker: WorkerHandle) -> None:
    look_again_and_again(worker, 7)

    assert worker.stalled_seconds == pytest.approx(7 * HEARTBEAT_CHECK_SECONDS)


def test_one_that_moves_again_is_no_longer_suspected(
    worker: WorkerHandle, recorder: Recorder
) -> None:
    worker.receive(SERVING + LOADED, START)
    now = look_again_and_again(worker, 7)
    recorder.heartbeat(2).beat()
    worker.check_heartbeat(now + HEARTBEAT_CHECK_SECONDS)

    assert worker.stalled_seconds == 0


def test_one_that_loads_for_itself_is_not_suspected(worker: WorkerHandle) -> None:
    worker.receive(SERVING, START)
    now = look_again_and_again(worker, 100)
    assert worker.stalled_seconds == 0

    worker.receive(LOADED, now)
    look_again_and_again(worker, 3, now)
    assert worker.stalled_seconds == pytest.approx(3 * HEARTBEAT_CHECK_SECONDS)


def test_time_in_which_nobody_looked_does_not_count(worker: WorkerHandle) -> None:
    """The machine was suspended, or the container paused."""
    worker.receive(SERVING + LOADED, START)
    now = look_again_and_again(worker, 2)
    worker.check_heartbeat(now + 3600)

    assert worker.stalled_seconds == pytest.approx(2 * HEARTBEAT_CHECK_SECONDS)
