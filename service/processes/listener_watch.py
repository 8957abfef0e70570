"""Accepts connections on an event loop, where there is no supervisor that does it.

libuv's own way would, when there are no file descriptors left, reset every connection that comes,
without a word.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence

from service.processes.descriptors import (
    NO_DESCRIPTORS,
    AcceptPause,
    is_connection_error,
    max_connection_descriptors,
)

_MAX_ACCEPTED_AT_ONCE = 64


class ListenerWatch:
    """Watches listening sockets; connections for which there are no descriptors wait in them."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        take: Callable[[socket.socket], None],
        pause: AcceptPause,
    ) -> None:
        """Prepare; nothing is accepted before ``start``.

        Args:
            listeners: The listening sockets.
            take: Takes an accepted connection.
            pause: Tells when to wait.
        """
        self._listeners = listeners
        self._take = take
        self._pause = pause
        self._max_descriptor = max_connection_descriptors()
        self._resume: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from here on, on the running event loop."""
        self._resume = None
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            listener.setblocking(False)
            loop.add_reader(listener.fileno(), self._accept, listener)

    def stop(self) -> None:
        """Accept nothing more."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener.fileno())
        if self._resume is not None:
            self._resume.cancel()

    def close(self) -> None:
        """Take the connections that have come, and let the system refuse others.

        In a socket that listens on they would wait, send their requests, and be reset at the end.
        """
        for listener in self._listeners:
            while self._accept(listener):
                pass
        self.stop()
        for listener in self._listeners:
            listener.close()

    def _accept(self, listener: socket.socket) -> bool:
        """Accept some connections; return whether there may be more."""
        for _ in range(_MAX_ACCEPTED_AT_ONCE):
            try:
                if not self._has_room():
                    self._wait(NO_DESCRIPTORS)
                    return False
                connection, _ = listener.accept()
            except OSError as error:
                if not is_connection_error(error):
                    self._wait(error.strerror or str(error))
                return False
            self._take(connection)
        return True

    def _has_room(self) -> bool:
        """Say whether a connection would leave some descriptors: it gets the lowest free number."""
        probe = os.dup(self._listeners[0].fileno())
        os.close(probe)
        return probe < self._max_descriptor

    def _wait(self, cause: str) -> None:
        self._pause.begin(cause)
        self.stop()
        seconds = self._pause.seconds_left(time.monotonic())
        self._resume = asyncio.get_running_loop().call_later(seconds, self.start)
