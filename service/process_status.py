"""The state of a service's processes, in memory that all of them share.

Each worker writes its own slot, the supervisor reads all of them: which workers run, how many
connections each has, whether its event loop turns. A number is one aligned 8-byte integer that one
process writes, so reading it takes no lock and shows the old value or the new one. A worker that is
killed leaves its numbers behind; its successor goes on counting from them.
"""

import mmap
import os
from typing import TypeAlias

Numbers: TypeAlias = "memoryview[int]"

_NUMBER_BYTES = 8
# Numbers of the whole service, before the slots of the workers.
_DRAINING, _STOPPING, _SUPERVISOR = range(3)
_SERVICE_NUMBERS = 3
# Numbers of a worker, in its slot.
_STATE, _LOADING, _TAKEN, _OPEN, _HEARTBEATS, _RECEIVED, _LEAVING, _PROCESS = range(8)
_WORKER_NUMBERS = 8
# States of a slot.
_UNUSED, _RUNNING, _ENDED = range(3)


class WorkerStatus:
    """The slot of one worker.

    Attributes:
        number: Which of the workers it is, from 0.
    """

    __slots__ = ("_numbers", "_service", "number")

    def __init__(self, number: int, numbers: Numbers, service: Numbers) -> None:
        """Use the numbers of a slot (zeros, or what a predecessor left) and of the service."""
        self.number = number
        self._numbers = numbers
        self._service = service

    def start(self) -> None:
        """Say that the worker runs in this process, with no connections."""
        self._numbers[_OPEN] = self._numbers[_LOADING] = self._numbers[_LEAVING] = 0
        self._numbers[_PROCESS] = os.getpid()
        self._numbers[_STATE] = _RUNNING

    def end(self) -> None:
        """Say that the worker has ended, and its connections with it."""
        self._numbers[_OPEN] = self._numbers[_LOADING] = 0
        self._numbers[_STATE] = _ENDED

    def opened(self) -> None:
        """Count a new connection."""
        self._numbers[_TAKEN] += 1
        self._numbers[_OPEN] += 1

    def closed(self) -> None:
        """Count the end of a connection."""
        self._numbers[_OPEN] -= 1

    def received(self, connections: int) -> None:
        """Count connections from the supervisor that are open now, or could not be opened."""
        self._numbers[_RECEIVED] += connections

    def start_leaving(self) -> None:
        """Say that this worker is about to close, and still answers."""
        self._numbers[_LEAVING] = 1

    def beat(self) -> None:
        """Count a turn of the event loop."""
        self._numbers[_HEARTBEATS] += 1

    def set_loading(self, *, loading: bool) -> None:
        """Say whether the worker loads models."""
        self._numbers[_LOADING] = loading

    @property
    def draining(self) -> bool:
        """Whether this worker, or the whole service, is about to close and still answers."""
        return bool(self._numbers[_LEAVING] or self._service[_DRAINING])

    @property
    def process(self) -> int:
        """Id of the worker's process."""
        return self._numbers[_PROCESS]

    @property
    def connections_received(self) -> int:
        """Connections that the supervisor has sent to this slot and that are not on their way."""
        return self._numbers[_RECEIVED]

    @property
    def used(self) -> bool:
        """Whether a worker has ever run in this slot."""
        return self._numbers[_STATE] != _UNUSED

    @property
    def running(self) -> bool:
        """Whether the worker runs."""
        return self._numbers[_STATE] == _RUNNING

    @property
    def loading(self) -> bool:
        """Whether the worker loads models."""
        return bool(self._numbers[_LOADING])

    @property
    def connections_taken(self) -> int:
        """Connections that were opened in this slot, by predecessors too."""
        return self._numbers[_TAKEN]

    @property
    def open_connections(self) -> int:
        """Connections that are open."""
        return self._numbers[_OPEN]

    @property
    def heartbeats(self) -> int:
        """Turns of the event loop that were counted in this slot, by predecessors too."""
        return self._numbers[_HEARTBEATS]


class ProcessStatus:
    """The state of all processes of a service, shared with those that are forked from this one.

    Attributes:
        workers: The slots of the workers, by number.
    """

    def __init__(self, workers: int = 1) -> None:
        """Take the memory; it is freed when the last process that shares it ends.

        Args:
            workers: Number of worker processes.
        """
        numbers = _SERVICE_NUMBERS + workers * _WORKER_NUMBERS
        memory = mmap.mmap(-1, numbers * _NUMBER_BYTES)  # anonymous and shared
        self._numbers: Numbers = memoryview(memory).cast("q")
        starts = range(_SERVICE_NUMBERS, numbers, _WORKER_NUMBERS)
        service = self._numbers[:_SERVICE_NUMBERS]
        self.workers = tuple(
            WorkerStatus(number, self._numbers[start : start + _WORKER_NUMBERS], service)
            for number, start in enumerate(starts)
        )

    @property
    def draining(self) -> bool:
        """Whether the service is about to close, and still answers."""
        return bool(self._numbers[_DRAINING])

    def start_draining(self) -> None:
        """Say so on ``/readyz`` of every worker."""
        self._numbers[_DRAINING] = 1

    @property
    def stopping(self) -> bool:
        """Whether the supervisor has asked all workers to stop."""
        return bool(self._numbers[_STOPPING])

    def start_stopping(self) -> None:
        """Say that the SIGTERM which comes now is the supervisor's, and not to be drained on."""
        self._numbers[_STOPPING] = 1

    @property
    def supervisor(self) -> int:
        """Id of the supervisor's process; 0 where there is none."""
        return self._numbers[_SUPERVISOR]

    def set_supervisor(self) -> None:
        """Say that this process is the supervisor."""
        self._numbers[_SUPERVISOR] = os.getpid()
