"""Each connection goes to the worker that has the fewest, among those that can take one."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from service.acceptor import Acceptor
from service.metrics.recorder import Recorder
from service.metrics.segments import SharedMemory
from service.worker_life import LOADED, LOOK_SECONDS, SERVING, WorkerLife

START = 1000.0
NUMBERS = (0, 1, 2)


@dataclass
class Workplace:
    """Three workers that have loaded, without processes: connections stay in their sockets."""

    acceptor: Acceptor
    lives: dict[int, WorkerLife]
    recorders: dict[int, Recorder]
    theirs: dict[int, socket.socket]
    address: tuple[str, int]
    clients: ExitStack

    def has(self, number: int, connections: int) -> None:
        """Have a worker count connections as its own, until it has so many."""
        meter = self.recorders[number].connections(number)
        life = self.lives[number]
        for _ in range(connections - life.connections):
            meter.opened()
            life.handed += 1

    def connect(self, times: int = 1) -> list[int]:
        """Connect; return which worker got each connection."""
        received: list[int] = []
        for _ in range(times):
            self.clients.enter_context(socket.create_connection(self.address))
            self.acceptor.accept()
            received += [number for number in NUMBERS if self._receives(number)]
        return received

    def _receives(self, number: int) -> bool:
        try:
            message, descriptors, _, _ = socket.recv_fds(self.theirs[number], 1, 1)
        except BlockingIOError:
            return False
        self.clients.enter_context(socket.socket(fileno=descriptors[0]))
        return message == b"c"


@pytest.fixture
def workplace() -> Iterator[Workplace]:
    segments = SharedMemory(len(NUMBERS)).segments
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        selectors.DefaultSelector() as selector,
        ExitStack() as stack,
    ):
        recorders = {number: Recorder(segments[number]) for number in NUMBERS}
        lives: dict[int, WorkerLife] = {}
        theirs: dict[int, socket.socket] = {}
        for number, recorder in recorders.items():
            ours, theirs[number] = map(stack.enter_context, socket.socketpair())
            ours.setblocking(False)
            theirs[number].setblocking(False)
            meters = (recorder.connections(number), recorder.heartbeat(number))
            lives[number] = WorkerLife(number, 70 + number, ours, *meters, START)
            lives[number].hear(SERVING + LOADED, START)
        acceptor = Acceptor(listener, selector, lives)
        address = listener.getsockname()
        with ExitStack() as clients:
            yield Workplace(acceptor, lives, recorders, theirs, address, clients)


def order(workplace: Workplace) -> list[int]:
    return [life.number for life in workplace.acceptor.takers()]


def test_the_worker_with_the_fewest_connections_gets_the_next_one(workplace: Workplace) -> None:
    workplace.has(0, 5)
    workplace.has(1, 2)
    workplace.has(2, 4)

    assert order(workplace) == [1, 2, 0]
    assert workplace.connect() == [1]


def test_connections_are_evened_out_and_then_dealt_in_turn(workplace: Workplace) -> None:
    workplace.has(0, 3)
    workplace.has(2, 1)

    assert sorted(workplace.connect(5)) == [1, 1, 1, 2, 2]
    assert sorted(workplace.connect(6)) == [0, 0, 1, 1, 2, 2]


def test_a_connection_that_was_closed_makes_room_for_the_next(workplace: Workplace) -> None:
    for number in NUMBERS:
        workplace.has(number, 2)
    workplace.recorders[2].connections(2).closed()

    assert workplace.connect() == [2]


def test_of_equally_busy_workers_the_one_that_got_fewer_so_far_is_first(
    workplace: Workplace,
) -> None:
    workplace.has(0, 2)
    workplace.has(1, 1)
    for number, closed in ((0, 2), (1, 1)):
        for _ in range(closed):
            workplace.recorders[number].connections(number).closed()

    assert [life.connections for life in workplace.lives.values()] == [0, 0, 0]
    assert order(workplace) == [2, 1, 0]


def test_a_worker_that_has_not_moved_comes_after_all_that_have(workplace: Workplace) -> None:
    workplace.has(1, 50)
    workplace.has(2, 60)
    for look in range(1, 8):
        for number in (1, 2):
            workplace.recorders[number].heartbeat(number).beat()
        for life in workplace.lives.values():
            life.look(START + look * LOOK_SECONDS)

    assert order(workplace) == [1, 2, 0]


def test_a_worker_that_loads_gets_none_while_another_has_loaded(workplace: Workplace) -> None:
    workplace.has(1, 50)
    workplace.has(2, 60)
    workplace.lives[0].loaded = False
    assert order(workplace) == [1, 2]

    workplace.lives[1].loaded = workplace.lives[2].loaded = False
    assert order(workplace) == [0, 1, 2]


def test_a_worker_that_is_leaving_gets_none(workplace: Workplace) -> None:
    workplace.has(1, 50)
    workplace.has(2, 60)
    workplace.lives[0].hear(b"", START)

    assert order(workplace) == [1, 2]


def test_a_connection_whose_worker_has_gone_goes_to_the_next(workplace: Workplace) -> None:
    workplace.has(1, 1)
    workplace.has(2, 2)
    workplace.theirs[0].close()

    assert workplace.acceptor.takers()[0] is workplace.lives[0]
    client = workplace.clients.enter_context(socket.create_connection(workplace.address))
    workplace.acceptor.accept()
    assert not workplace.lives[0].serving
    _, (descriptor,), _, _ = socket.recv_fds(workplace.theirs[1], 1, 1)
    with socket.socket(fileno=descriptor) as taken:
        assert taken.getpeername() == client.getsockname()
