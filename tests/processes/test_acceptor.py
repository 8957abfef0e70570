"""Each connection goes to the worker with the fewest."""

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from service.process_status import ProcessStatus
from service.processes.acceptor import Acceptor
from service.processes.descriptors import AcceptPause
from service.processes.worker_handle import SERVING, WorkerHandle

WORKERS = 3


@dataclass
class Setting:
    """An acceptor and the workers that it sends connections to.

    Attributes:
        acceptor: What is tested.
        handles: The workers as the supervisor sees them, all of which serve.
        channels: The workers' ends of their channels.
        stack: Closes the clients' connections.
        address: Where clients connect.
    """

    acceptor: Acceptor
    handles: list[WorkerHandle]
    channels: list[socket.socket]
    stack: ExitStack
    address: tuple[str, int]

    def connect(self) -> int:
        """Open a connection and accept it; return which worker has got it."""
        self.stack.enter_context(socket.create_connection(self.address, 60))
        before = [handle.handed_over for handle in self.handles]
        self.acceptor.accept()
        (taken,) = [
            handle.number
            for handle, count in zip(self.handles, before, strict=True)
            if handle.handed_over > count
        ]
        self.take(taken)
        return taken

    def take(self, number: int) -> None:
        """Take a connection from a worker's channel, as the worker does."""
        message, descriptors, _, _ = socket.recv_fds(self.channels[number], 1, 1)
        assert message == b"c"
        self.handles[number].status.opened()
        self.handles[number].status.received(1)
        self.stack.enter_context(socket.socket(fileno=descriptors[0]))


@pytest.fixture
def setting() -> Iterator[Setting]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        selector = stack.enter_context(selectors.DefaultSelector())
        handles: list[WorkerHandle] = []
        channels: list[socket.socket] = []
        for status in ProcessStatus(WORKERS).workers:
            ours, theirs = map(stack.enter_context, socket.socketpair())
            ours.setblocking(False)
            status.start()
            handle = WorkerHandle(0, ours, status, time.monotonic())
            handle.receive(SERVING, time.monotonic())
            handles.append(handle)
            channels.append(theirs)
        workers = {handle.number: handle for handle in handles}
        acceptor = Acceptor(listener, selector, workers, AcceptPause(lambda: None))
        yield Setting(acceptor, handles, channels, stack, listener.getsockname())


def test_connections_go_round_while_all_are_kept(setting: Setting) -> None:
    taken = [setting.connect() for _ in range(3 * WORKERS)]

    assert taken == [0, 1, 2] * 3


@pytest.mark.parametrize("number", range(WORKERS))
def test_a_connection_goes_to_the_worker_with_the_fewest(setting: Setting, number: int) -> None:
    for _ in range(3 * WORKERS):
        setting.connect()
    for _ in range(2):
        setting.handles[number].status.closed()

    assert [setting.connect() for _ in range(2)] == [number, number]


def test_connections_on_their_way_count_too(setting: Setting) -> None:
    setting.handles[0].handed_over += 2  # which the worker has not taken

    assert [setting.connect() for _ in range(4)] == [1, 2, 1, 2]


def test_workers_that_load_get_connections_only_while_all_do(setting: Setting) -> None:
    setting.handles[0].status.set_loading(loading=True)
    assert [setting.connect() for _ in range(4)] == [1, 2, 1, 2]

    for handle in setting.handles:
        handle.status.set_loading(loading=True)
    assert setting.connect() == 0

    for handle in setting.handles:
        handle.status.set_loading(loading=False)
    assert setting.connect() == 0


def test_a_worker_whose_event_loop_stands_still_comes_last(setting: Setting) -> None:
    setting.handles[0].stalled_seconds = 1.0
    assert [setting.connect() for _ in range(4)] == [1, 2, 1, 2]

    for handle in setting.handles:
        handle.stalled_seconds = 1.0
    assert setting.connect() == 0


def test_connections_beyond_the_descriptors_of_all_workers_wait(setting: Setting) -> None:
    setting.acceptor._max_connections = 2
    taken = [setting.connect() for _ in range(2 * WORKERS)]
    assert taken == [0, 1, 2] * 2

    setting.stack.enter_context(socket.create_connection(setting.address, 60))
    setting.acceptor.accept()
    assert [handle.handed_over for handle in setting.handles] == [2] * WORKERS
    assert setting.acceptor.seconds_until_due(time.monotonic())

    setting.handles[1].status.closed()
    time.sleep(0.2)
    setting.acceptor.accept()
    assert [handle.handed_over for handle in setting.handles] == [2, 3, 2]


def test_nothing_is_accepted_while_no_worker_serves(setting: Setting) -> None:
    for handle in setting.handles:
        handle.receive(b"", time.monotonic())
    setting.stack.enter_context(socket.create_connection(setting.address, 60))
    setting.acceptor.accept()

    assert [handle.handed_over for handle in setting.handles] == [0] * WORKERS


def test_a_connection_waits_for_a_worker_that_will_serve_in_a_moment(setting: Setting) -> None:
    now = time.monotonic()
    setting.handles[2].receive(b"", now)  # it leaves, its successor is awaited
    setting.stack.enter_context(socket.create_connection(setting.address, 60))
    setting.acceptor.accept()
    assert [handle.handed_over for handle in setting.handles] == [0] * WORKERS
    assert setting.acceptor.seconds_until_due(now)

    setting.handles[2].receive(SERVING, now)
    setting.acceptor.accept()
    assert sum(handle.handed_over for handle in setting.handles) == 1
