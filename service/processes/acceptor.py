"""Accepts connections and sends each to the worker with the fewest.

A listening socket that workers share gives most connections to the worker that wakes up first, and
SO_REUSEPORT chooses at random: of 8 connections 5 or more go to one of two workers in 7 of 10
cases. With one process that accepts for all of them, connections that have not been accepted also
survive the death of a worker, and wait while its successor starts.
"""

import selectors
import socket
import time
from collections.abc import Mapping

from service.processes.descriptors import (
    NO_DESCRIPTORS,
    AcceptPause,
    is_connection_error,
    max_connection_descriptors,
)
from service.processes.worker_handle import WorkerHandle

_MAX_ACCEPTED_AT_ONCE = 64
_HELD_RETRY_SECONDS = 0.005
_MAX_WAIT_FOR_WORKER_SECONDS = 0.5


class Acceptor:
    """Accepts while a worker takes connections; otherwise they wait in the listening socket."""

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        workers: Mapping[int, WorkerHandle],
        pause: AcceptPause,
    ) -> None:
        """Prepare; nothing is accepted before ``watch_listener``.

        Args:
            listener: The listening socket.
            selector: What the supervisor waits with.
            workers: Those that run, kept up to date by the supervisor.
            pause: Tells when to wait for descriptors or memory.
        """
        self._listener = listener
        self._listener.setblocking(False)
        self._selector = selector
        self._workers = workers
        self._held: socket.socket | None = None
        self._watching = False
        self._pause = pause
        self._max_connections = max_connection_descriptors()  # of a worker

    def watch_listener(self) -> None:
        """Have the selector watch the listener while there are workers that take connections.

        Connections also wait for a worker that will serve in a moment: the clients of one that died
        all reconnect at once, and would stay with the other workers.
        """
        wanted = self._may_accept()
        if wanted and not self._watching:
            self._selector.register(self._listener, selectors.EVENT_READ, self.accept)
        elif self._watching and not wanted:
            self._selector.unregister(self._listener)
        self._watching = wanted

    def seconds_until_due(self, now: float) -> list[float]:
        """Return the times after which something has to be done even if nothing happens.

        Args:
            now: Seconds of the monotonic clock.
        """
        times = [since + _MAX_WAIT_FOR_WORKER_SECONDS - now for since in self._waited_for(now)]
        if self._held is not None:
            times.append(_HELD_RETRY_SECONDS)
        if seconds := self._pause.seconds_left(now):
            times.append(seconds)
        return times

    def accept(self) -> None:
        """Accept the connections that have come, and send them to workers."""
        for _ in range(_MAX_ACCEPTED_AT_ONCE):
            if not self._may_accept():
                return
            if not any(worker.connections < self._max_connections for worker in self.candidates()):
                self._pause.begin(NO_DESCRIPTORS)
                return
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if not is_connection_error(error):
                    self._pause.begin(error.strerror or str(error))
                return
            self._hand_over(connection)

    def hand_over_held(self) -> None:
        """Try again with a connection that no worker could take."""
        if self._held is not None:
            self._hand_over(self._held)

    def candidates(self) -> list[WorkerHandle]:
        """List the workers that take connections, the one with the fewest first.

        Workers that load models count only while all of them do. One whose event loop stands still
        comes after all others.
        """
        serving = [worker for worker in self._workers.values() if worker.serving]
        loaded = [worker for worker in serving if not worker.status.loading]
        return sorted(
            loaded or serving,
            key=lambda worker: (
                worker.stalled_seconds > 0,
                worker.connections,
                worker.handed_over,
            ),
        )

    def close(self) -> None:
        """Accept nothing more, and close a connection that no worker could take."""
        self._listener.close()
        if self._held is not None:
            self._held.close()

    def _may_accept(self) -> bool:
        now = time.monotonic()
        serving = any(worker.serving for worker in self._workers.values())
        able = self._held is None and not self._pause.seconds_left(now)
        return serving and able and not self._waited_for(now)

    def _waited_for(self, now: float) -> list[float]:
        """Since when connections wait, for each worker that may still serve in a moment."""
        return [
            worker.waited_for_since
            for worker in self._workers.values()
            if not worker.serving and now - worker.waited_for_since < _MAX_WAIT_FOR_WORKER_SECONDS
        ]

    def _hand_over(self, connection: socket.socket) -> None:
        """Send a connection to a worker, or hold it while none can take it."""
        self._held = None
        for worker in self.candidates():
            if worker.connections >= self._max_connections:
                continue
            try:
                socket.send_fds(worker.channel, [b"c"], [connection.fileno()])
            except BlockingIOError:
                continue
            except OSError:
                worker.serving = False
                continue
            worker.handed_over += 1
            connection.close()
            return
        self._held = connection
