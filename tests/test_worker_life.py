"""What a supervisor concludes from what a worker says, has, and does not do."""

import socket
from collections.abc import Iterator

import pytest

from service.metrics.recorder import Recorder
from service.metrics.segments import SharedMemory
from service.worker_life import LOADED, LOOK_SECONDS, SERVING, WorkerLife

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
def life(recorder: Recorder) -> Iterator[WorkerLife]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield WorkerLife(2, 77, ours, recorder.connections(2), recorder.heartbeat(2), START)


def look_again_and_again(life: WorkerLife, times: int, first: float = START) -> float:
    """Look on time; return when it was done."""
    for number in range(1, times + 1):
        life.look(first + number * LOOK_SECONDS)
    return first + times * LOOK_SECONDS


def test_its_connections_are_those_on_their_way_and_those_it_has(
    life: WorkerLife, recorder: Recorder
) -> None:
    life.handed = 5
    assert life.connections == 5

    meter = recorder.connections(2)
    for _ in range(3):
        meter.opened()
    meter.closed()
    assert life.connections == 4  # two on their way, two that it has


def test_it_serves_when_it_says_so_and_has_loaded_when_it_says_so(life: WorkerLife) -> None:
    life.hear(SERVING, START)
    assert (life.serving, life.loaded, life.leaving) == (True, False, False)

    life.hear(LOADED, START)
    assert (life.serving, life.loaded, life.leaving) == (True, True, False)


def test_one_that_has_closed_its_end_leaves_and_is_waited_for(life: WorkerLife) -> None:
    life.hear(SERVING + LOADED, START)
    life.hear(b"", START + 7)

    assert (life.serving, life.leaving, life.waited_for_since) == (False, True, START + 7)


def test_one_whose_event_loop_turns_never_stalls(life: WorkerLife, recorder: Recorder) -> None:
    life.hear(SERVING + LOADED, START)
    for number in range(1, 100):
        recorder.heartbeat(2).beat()
        life.look(START + number * LOOK_SECONDS)
        assert life.stalled_seconds == 0


def test_one_that_does_not_move_stalls_for_as_long(life: WorkerLife) -> None:
    life.hear(SERVING + LOADED, START)
    look_again_and_again(life, 7)

    assert life.stalled_seconds == pytest.approx(7 * LOOK_SECONDS)


def test_one_that_does_not_even_begin_stalls_too(life: WorkerLife) -> None:
    look_again_and_again(life, 7)

    assert life.stalled_seconds == pytest.approx(7 * LOOK_SECONDS)


def test_one_that_moves_again_is_no_longer_suspected(life: WorkerLife, recorder: Recorder) -> None:
    life.hear(SERVING + LOADED, START)
    now = look_again_and_again(life, 7)
    recorder.heartbeat(2).beat()
    life.look(now + LOOK_SECONDS)

    assert life.stalled_seconds == 0


def test_one_that_loads_for_itself_is_not_suspected(life: WorkerLife) -> None:
    life.hear(SERVING, START)
    now = look_again_and_again(life, 100)
    assert life.stalled_seconds == 0

    life.hear(LOADED, now)
    look_again_and_again(life, 3, now)
    assert life.stalled_seconds == pytest.approx(3 * LOOK_SECONDS)


def test_time_in_which_nobody_looked_does_not_count(life: WorkerLife) -> None:
    """The machine was suspended, or the container paused."""
    life.hear(SERVING + LOADED, START)
    now = look_again_and_again(life, 2)
    life.look(now + 3600)

    assert life.stalled_seconds == pytest.approx(2 * LOOK_SECONDS)
