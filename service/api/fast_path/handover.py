"""Unusual requests on a connection of the fast path, handled by uvicorn's own protocol object.

uvicorn handles chunked bodies, ``Expect``, malformed requests and every path of the application. It
is passed the bytes as they came: only those of its methods are called that asyncio calls of a
protocol, and that a server calls at shutdown.
"""

import asyncio
import re
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_UPGRADE_LINE = re.compile(rb"\r\nupgrade:[^\r]*", re.IGNORECASE)


class Handover:
    """uvicorn's protocol object on the transport of a connection.

    Attributes:
        is_active: Whether what comes is for uvicorn.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        """Make the protocol object; it gets nothing before ``receive``.

        Args:
            transport: Of the connection.
            config: uvicorn's.
            server_state: uvicorn's.
            app_state: The application's, from its start.
        """
        self.is_active = False
        self._protocol = HttpToolsProtocol(config, server_state, app_state)
        self._connections = server_state.connections
        self._messages = _Messages()
        self._protocol.connection_made(transport)
        self._connections.discard(self._protocol)

    @property
    def has_answered(self) -> bool:
        """Whether every request whose head uvicorn was handed has been answered."""
        cycle: Any = self._protocol.cycle
        return cycle is not None and cycle.response_complete and not self._protocol.pipeline

    @property
    def is_over(self) -> bool:
        """Whether all requests that uvicorn was handed are complete and have been answered."""
        return self._messages.are_whole and self.has_answered

    def begin(self, data: bytes) -> None:
        """Hand over a connection, beginning with the head of a request."""
        head, end, rest = data.partition(b"\r\n\r\n")
        self.is_active = True
        self.receive(_UPGRADE_LINE.sub(b"", head) + end + rest)

    def receive(self, data: bytes) -> None:
        """Hand over what has come.

        Where a request offers another protocol, uvicorn's parser takes its body for that protocol.
        The connection ends with its response, so that a body is never read as a request.
        """
        if self._messages.end_in_upgrade:
            return
        self._messages.read(data)
        self._protocol.data_received(data)
        if self._messages.end_in_upgrade:
            self._protocol.shutdown()

    def end(self) -> None:
        """Take the connection back."""
        self.is_active = False

    def pause_writing(self) -> None:
        """Tell uvicorn that its responses are not read."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Tell uvicorn that its responses are read again."""
        self._protocol.resume_writing()

    def shut_down(self) -> None:
        """Close the connection after the open response."""
        self._protocol.shutdown()

    def connection_lost(self) -> None:
        """Tell uvicorn that the connection has gone."""
        self._protocol.connection_lost(None)


class _Messages:
    """Counts requests, to know whether the last one is complete."""

    def __init__(self) -> None:
        self.are_whole = False
        self.end_in_upgrade = False
        self._failed = False
        self._open = 0
        self._parser = HttpRequestParser(self)

    def read(self, data: bytes) -> None:
        if not self._failed:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade:
                self.end_in_upgrade = True
            except HttpParserError:
                self._failed = True  # uvicorn keeps the connection until its end
        self.are_whole = not (self._open or self._failed or self.end_in_upgrade)

    def on_message_begin(self) -> None:
        self._open += 1

    def on_message_complete(self) -> None:
        self._open -= 1
