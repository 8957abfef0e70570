"""The state of processes is seen by all that share it, and outlives them."""

import os
import signal

import pytest

from service.process_status import ProcessStatus


def test_a_worker_counts_connections_and_heartbeats() -> None:
    worker = ProcessStatus(3).workers[2]
    worker.start()
    for _ in range(5):
        worker.opened()
        worker.beat()
    worker.closed()

    assert worker.number == 2
    assert (worker.connections_taken, worker.open_connections, worker.heartbeats) == (5, 4, 5)
    assert worker.running


def test_slots_are_independent() -> None:
    status = ProcessStatus(2)
    first, second = status.workers
    first.start()
    first.opened()
    first.set_loading(loading=True)
    first.beat()
    status.start_draining()

    assert status.draining
    assert not second.used
    assert not second.loading
    assert (second.connections_taken, second.open_connections, second.heartbeats) == (0, 0, 0)


def test_the_connections_of_a_worker_end_with_it_and_what_it_counted_stays() -> None:
    worker = ProcessStatus().workers[0]
    assert not worker.used
    worker.start()
    worker.opened()
    worker.beat()
    worker.set_loading(loading=True)
    worker.end()

    assert worker.used
    assert not worker.running
    assert not worker.loading
    assert (worker.connections_taken, worker.open_connections, worker.heartbeats) == (1, 0, 1)
    worker.start()
    worker.opened()
    assert worker.running
    assert (worker.connections_taken, worker.open_connections, worker.heartbeats) == (2, 1, 1)


def test_a_worker_drains_alone_or_with_the_whole_service_and_its_successor_does_not() -> None:
    status = ProcessStatus(2)
    first, second = status.workers
    first.start_leaving()
    assert (first.draining, second.draining, status.draining) == (True, False, False)

    first.end()
    first.start()
    assert not first.draining

    status.start_draining()
    assert first.draining
    assert second.draining
    assert not status.stopping

    status.start_stopping()
    assert status.stopping


def test_processes_are_known_by_their_ids() -> None:
    status = ProcessStatus(1)
    status.workers[0].start()
    assert (status.workers[0].process, status.supervisor) == (os.getpid(), 0)

    status.set_supervisor()
    assert status.supervisor == os.getpid()


def test_no_service_drains_at_its_start() -> None:
    assert not ProcessStatus().draining


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks beside threads
def test_what_a_killed_process_wrote_is_seen_by_the_others() -> None:
    status = ProcessStatus(2)
    pid = os.fork()
    if pid == 0:
        try:
            status.workers[1].start()
            status.workers[1].opened()
            status.start_draining()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)

    assert status.draining
    assert status.workers[1].running
    assert status.workers[1].open_connections == 1
    assert not status.workers[0].used
