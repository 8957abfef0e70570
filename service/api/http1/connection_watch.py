"""What open connections have to do by a time, watched by one timer for all of them."""

import asyncio
import logging
import time
from typing import Protocol

from service.api.http1.limits import ConnectionLimits
from service.errors import TooManyConnections

_SWEEP_SECONDS = 0.5
_SURPLUS_LOG_SECONDS = 10.0
NEVER = float("inf")


_log = logging.getLogger(__name__)


class Watched(Protocol):
    """A connection.

    Attributes:
        due: ``time.monotonic()`` after which it has to be checked.
    """

    due: float

    def check(self, now: float) -> None:
        """Do what is due, and set when the next thing is."""
        ...


class ConnectionWatch:
    """Checks the connections that are due, twice a second while there are any.

    Attributes:
        limits: What a connection may take.
        connections: Those that are open.
        is_leaving: Whether the service stops: responses ask clients to connect anew.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        """Set no timer yet.

        Args:
            limits: What a connection may take.
        """
        self.limits = limits
        self.connections: set[Watched] = set()
        self.is_leaving = False
        self._sweeping = False
        self._surplus_logged = -NEVER

    def add(self, connection: Watched) -> None:
        """Watch a connection until it is removed."""
        self.connections.add(connection)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def remove(self, connection: Watched) -> None:
        """Watch a connection no more."""
        self.connections.discard(connection)

    def refuse_surplus(self) -> TooManyConnections | None:
        """Say why the newest connection is refused, if there are too many."""
        limit = self.limits.max_connections
        if len(self.connections) <= limit:
            return None
        now = time.monotonic()
        if now - self._surplus_logged >= _SURPLUS_LOG_SECONDS:
            self._surplus_logged = now
            _log.warning("connections are refused", extra={"max_connections": limit})
        return TooManyConnections(f"{limit} connections are open, which is the limit")

    def _sweep(self) -> None:
        self._sweeping = bool(self.connections)
        if self._sweeping:  # again, whatever becomes of this time
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)
        now = time.monotonic()
        for connection in [item for item in self.connections if item.due <= now]:
            connection.check(now)
