"""What happens to requests and connections as time passes."""

import asyncio
import time
from typing import Protocol

from service.api.fast_path.exchange import Exchange
from service.api.pipeline import out_of_time

_SECONDS_BETWEEN_LOOKS = 0.02
_SECONDS_BETWEEN_SWEEPS = 1.0


class Idling(Protocol):
    """A connection between two requests."""

    def close_if_idle(self, since: float) -> None:
        """Close it if no request has come since then."""
        ...


class Watch:
    """Looks at all open exchanges, and now and then at all connections.

    One timer for all of them, instead of two for each request.

    Attributes:
        exchanges: Those that have not been answered.
        connections: Those that are open.
    """

    def __init__(self, keep_alive_seconds: float) -> None:
        """Watch nothing yet, and set no timer.

        Args:
            keep_alive_seconds: How long a connection may wait for a request.
        """
        self.exchanges: set[Exchange] = set()
        self.connections: set[Idling] = set()
        self._keep_alive_seconds = keep_alive_seconds
        self._looking = self._sweeping = False

    def begin(self, exchange: Exchange) -> None:
        """Interrupt an exchange that is not answered at its deadline."""
        self.exchanges.add(exchange)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_SECONDS_BETWEEN_LOOKS, self._look)

    def add_connection(self, connection: Idling) -> None:
        """Close a connection that is idle for too long."""
        self.connections.add(connection)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SECONDS_BETWEEN_SWEEPS, self._sweep)

    def _look(self) -> None:
        now = time.monotonic()
        for exchange in list(self.exchanges):
            if now >= exchange.deadline:
                exchange.interrupt(out_of_time(body_has_come=exchange.body_has_come))
        self._looking = bool(self.exchanges)
        if self._looking:
            asyncio.get_running_loop().call_later(_SECONDS_BETWEEN_LOOKS, self._look)

    def _sweep(self) -> None:
        since = time.monotonic() - self._keep_alive_seconds
        for connection in list(self.connections):
            connection.close_if_idle(since)
        self._sweeping = bool(self.connections)
        if self._sweeping:
            asyncio.get_running_loop().call_later(_SECONDS_BETWEEN_SWEEPS, self._sweep)
