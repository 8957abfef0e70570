"""Responses on their way to a client, which may read them slowly or not at all."""

import asyncio

from uvicorn.server import ServerState

from service.api.capacity.open_bytes import OpenBytes
from service.api.http1.response_head import CLOSE, CONTINUE, write_head
from service.api.pipeline import Reply
from service.api.problems import Headers

_MIN_SEPARATE_WRITE_BYTES = 32 * 1024


class ResponseWriter:
    """Writes to the transport of one connection, and knows what the client has not read yet.

    Attributes:
        keep_alive: Whether the connection is kept after the response.
        is_old_client: Whether it speaks HTTP/1.0, where a connection that is kept is announced.
        is_paused: Whether the client has to read before more is written.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        server_state: ServerState,
        open_bytes: OpenBytes,
        keep_alive_seconds: float,
    ) -> None:
        """Begin without a response.

        Args:
            transport: Of the connection.
            server_state: uvicorn's; it has the headers that every response carries.
            open_bytes: Counts what is not read.
            keep_alive_seconds: What clients are told.
        """
        self.keep_alive = True
        self.is_old_client = False
        self.is_paused = False
        self._transport = transport
        self._server_state = server_state
        self._open_bytes = open_bytes
        self._keep = b"keep-alive: timeout=%d\r\n" % keep_alive_seconds
        self._unsent_bytes = 0
        self._resumed: asyncio.Event | None = None

    def write_reply(self, reply: Reply) -> None:
        """Write a whole response."""
        usual = self.keep_alive and not self.is_old_client
        line = self._keep if usual else self._connection_line()
        framing = b"content-length: %d\r\n%b" % (len(reply.body), line)
        head = write_head(reply.status, self._server_state.default_headers, reply.headers, framing)
        if len(reply.body) < _MIN_SEPARATE_WRITE_BYTES:
            self._transport.write(b"".join((head, reply.body)))
        else:
            self._transport.writelines((head, reply.body))
            self._count_unsent()

    def write_head(self, status: int, headers: Headers) -> None:
        """Write the head of a response whose body follows in pieces."""
        fields = self._server_state.default_headers, headers
        self._transport.write(write_head(status, *fields, self._connection_line()))

    def write(self, data: bytes) -> None:
        """Write a piece of a body."""
        self._transport.write(data)
        self._count_unsent()

    def ask_for_body(self) -> None:
        """Tell the client to send the body that it has announced."""
        self._transport.write(CONTINUE)

    async def drain(self) -> None:
        """Return when the client has read enough for more to be written."""
        if self.is_paused:
            self._resumed = self._resumed or asyncio.Event()
            await self._resumed.wait()

    def pause(self) -> None:
        """Take that the client has to read before more is written."""
        self.is_paused = True

    def resume(self) -> None:
        """Take that the client has read, or is gone."""
        self.is_paused = False
        self._open_bytes.give_back(self._unsent_bytes)
        self._unsent_bytes = 0
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None

    def has_progressed(self, min_bytes: float) -> bool:
        """Whether the client has read so much, or all, since this was asked the last time."""
        before = self._unsent_bytes
        self._hold(self._transport.get_write_buffer_size())
        return self._unsent_bytes == 0 or before - self._unsent_bytes >= min_bytes

    def _count_unsent(self) -> None:
        """Count what the system has not taken, where that is more than a transport's buffer."""
        self._hold(self._transport.get_write_buffer_size() if self.is_paused else 0)

    def _hold(self, unsent_bytes: int) -> None:
        self._open_bytes.add(unsent_bytes - self._unsent_bytes)
        self._unsent_bytes = unsent_bytes

    def _connection_line(self) -> bytes:
        if self.keep_alive and not self.is_old_client:
            return self._keep
        return CLOSE if not self.keep_alive else b"connection: keep-alive\r\n" + self._keep
