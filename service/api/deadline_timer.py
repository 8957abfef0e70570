"""Deadlines of all open requests, by one timer instead of one each."""

import asyncio
import time

from service.api.exchange import Exchange

_TICK_SECONDS = 0.02


class DeadlineTimer:
    """Checks the time of every open exchange, fifty times a second while there are any.

    Attributes:
        exchanges: Those that are open.
    """

    def __init__(self) -> None:
        """Set no timer yet."""
        self.exchanges: set[Exchange] = set()
        self._ticking = False

    def add(self, exchange: Exchange) -> None:
        """Check an exchange until it is removed."""
        self.exchanges.add(exchange)
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def remove(self, exchange: Exchange) -> None:
        """Check an exchange no more."""
        self.exchanges.discard(exchange)

    def interrupt_all(self, reason: BaseException) -> None:
        """Interrupt every open exchange."""
        for exchange in list(self.exchanges):
            exchange.interrupt(reason)

    def _tick(self) -> None:
        now = time.monotonic()
        for exchange in list(self.exchanges):
            exchange.check_time(now)
        self._ticking = bool(self.exchanges)
        if self._ticking:
            asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)
