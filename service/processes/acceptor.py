"""Who gets a connection: the worker with the fewest.

A listening socket that the workers share gives most connections to whoever wakes first, and
SO_REUSEPORT draws lots: of 8 connections 5 or more land on one of two workers in 7 of 10 cases. One
process that accepts for all of them also loses no connection that was still to be accepted when a
worker dies, or while its successor starts.
"""

import logging
import selectors
import socket
import time
from collections.abc import Mapping

from service.processes.worker_handle import WorkerHandle

_MAX_ACCEPTED_AT_ONCE = 64
_HELD_SECONDS = 0.005
_PATIENCE_SECONDS = 0.5
_RETRY_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Acceptor:
    """Accepts while there is somebody to hand connections to; else they wait in the kernel."""

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        workers: Mapping[int, WorkerHandle],
    ) -> None:
        """Prepare; nothing is accepted before ``watch_listener``.

        Args:
            listener: The listening socket.
            selector: What the supervisor waits with.
            workers: Those that live, kept up to date by the supervisor.
        """
        self._listener = listener
        self._listener.setblocking(False)
        self._selector = selector
        self._workers = workers
        self._held: socket.socket | None = None
        self._accepting = False
        self._next_accept = 0.0

    def watch_listener(self) -> None:
        """Have the selector look for connections, or not, as there are workers that take them.

        They also wait for a worker that will serve in a moment: the clients of one that died all
        come back at once, and would stay with the others.
        """
        wanted = self._may_accept()
        if wanted and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ, self.accept)
        elif self._accepting and not wanted:
            self._selector.unregister(self._listener)
        self._accepting = wanted

    def seconds_until_due(self, now: float) -> list[float]:
        """Say when there will be something to do though nothing happens.

        Args:
            now: Seconds of the monotonic clock.
        """
        times = [since + _PATIENCE_SECONDS - now for since in self._waited_for(now)]
        if self._held is not None:
            times.append(_HELD_SECONDS)
        if now < self._next_accept:
            times.append(self._next_accept - now)
        return times

    def accept(self) -> None:
        """Take the connections that have come, and hand them out."""
        for _ in range(_MAX_ACCEPTED_AT_ONCE):
            if not self._may_accept():
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):  # there is none, or it has gone already
                return
            except OSError as error:  # no descriptors left, or no memory
                _log.error("no connections are accepted: %s", error.strerror)
                self._next_accept = time.monotonic() + _RETRY_SECONDS
                return
            self._hand_out(connection)

    def hand_out_held(self) -> None:
        """Try again with a connection that nobody could take."""
        if self._held is not None:
            self._hand_out(self._held)

    def takers(self) -> list[WorkerHandle]:
        """List the workers that take connections, the least busy first.

        Those that still load only count while there are no others, and who has not moved for a
        while comes after all who have.
        """
        serving = [worker for worker in self._workers.values() if worker.serving]
        loaded = [worker for worker in serving if worker.loaded]
        return sorted(
            loaded or serving,
            key=lambda worker: (worker.stalled_seconds > 0, worker.connections, worker.handed),
        )

    def close(self) -> None:
        """Accept nothing more, and let go of a connection that nobody could take."""
        self._listener.close()
        if self._held is not None:
            self._held.close()

    def _may_accept(self) -> bool:
        now = time.monotonic()
        serving = any(worker.serving for worker in self._workers.values())
        able = self._held is None and now >= self._next_accept
        return serving and able and not self._waited_for(now)

    def _waited_for(self, now: float) -> list[float]:
        """Since when connections wait, for each worker that is worth it."""
        return [
            worker.waited_for_since
            for worker in self._workers.values()
            if not worker.serving and now - worker.waited_for_since < _PATIENCE_SECONDS
        ]

    def _hand_out(self, connection: socket.socket) -> None:
        """Pass a connection on, or hold it while nobody can take it."""
        self._held = None
        for worker in self.takers():
            try:
                socket.send_fds(worker.channel, [b"c"], [connection.fileno()])
            except BlockingIOError:
                continue
            except OSError:
                worker.serving = False
                continue
            worker.handed += 1
            connection.close()
            return
        self._held = connection
