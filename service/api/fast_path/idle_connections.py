"""Connections on which no request has come for too long, closed by one timer for all of them."""

import asyncio
import time
from typing import Protocol

_SWEEP_SECONDS = 1.0


class Idling(Protocol):
    """A connection between two requests."""

    def close_if_idle(self, since: float) -> None:
        """Close it if no request has come since then."""
        ...


class IdleConnections:
    """Sweeps the open connections once a second while there are any.

    Attributes:
        connections: Those that are open.
    """

    def __init__(self, keep_alive_seconds: float) -> None:
        """Set no timer yet.

        Args:
            keep_alive_seconds: How long a connection may wait for a request.
        """
        self.connections: set[Idling] = set()
        self._keep_alive_seconds = keep_alive_seconds
        self._sweeping = False

    def add(self, connection: Idling) -> None:
        """Sweep a connection until it is removed."""
        self.connections.add(connection)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def remove(self, connection: Idling) -> None:
        """Sweep a connection no more."""
        self.connections.discard(connection)

    def _sweep(self) -> None:
        since = time.monotonic() - self._keep_alive_seconds
        for connection in list(self.connections):
            connection.close_if_idle(since)
        self._sweeping = bool(self.connections)
        if self._sweeping:
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
