"""One request that the application answers, over ASGI.

Everything that is no inference call, and a call whose path or method is written in an unusual way.
The connection frames the request and its response; here is what lies between: the channel of
messages that ASGI applications know.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Protocol
from urllib.parse import unquote

from service.api.http1.request_head import RequestHead
from service.api.middleware import Application, Message, Scope
from service.api.problems import Headers
from service.errors import Draining, InferenceFailed, LatentServeError

_MAX_WAITING_BODY_BYTES = 64 * 1024
_BODYLESS = (204, 304)

_log = logging.getLogger(__name__)


class Outlet(Protocol):
    """The connection, as an exchange over ASGI sees it."""

    def begin_response(self, status: int, headers: Headers, *, close: bool) -> None:
        """Write the head of the response."""
        ...

    def write(self, data: bytes) -> None:
        """Write a piece of the response."""
        ...

    async def drain(self) -> None:
        """Return when the client has read enough of the response."""
        ...

    def ask_for_body(self) -> None:
        """Tell the client to send the body that it has announced."""
        ...

    def set_reading(self, *, reading: bool) -> None:
        """Read from the socket, or leave what comes to the system."""
        ...

    def end_response(self) -> None:
        """Go on with the next request."""
        ...

    def fail(self, error: LatentServeError) -> None:
        """Answer why there is no response, or hang up where one has begun."""
        ...


class ApplicationExchange:
    """Takes the body of a request to an application, and its response to a connection.

    Attributes:
        is_full: Whether the application has to take the body before more is read.
        response_begun: Whether something of the response has been written.
        response_ended: Whether all of it has.
    """

    def __init__(self, app: Application, outlet: Outlet, head: RequestHead, scope: Scope) -> None:
        """Open an exchange.

        Args:
            app: Answers.
            outlet: Writes the response.
            head: Of the request.
            scope: What the application gets to know.
        """
        self._app = app
        self._outlet = outlet
        self._head = head
        self._scope = scope
        self._body = bytearray()
        self._body_follows = True
        self._body_delivered = False
        self._asks_for_body = head.expects_continue
        self._client_gone = False
        self._changed = asyncio.Event()
        self._start: Message | None = None
        self._in_chunks = False
        self.is_full = False
        self.response_begun = False
        self.response_ended = False

    async def run(self) -> None:
        """Have the application answer."""
        try:
            await self._app(self._scope, self._receive, self._send)
        except asyncio.CancelledError:
            self._outlet.fail(Draining("the service stopped before the response was ready"))
            raise
        except Exception:  # noqa: BLE001  # whatever fails, there is a response
            _log.exception("the application failed")
        if not self.response_ended and not self._client_gone:
            self._outlet.fail(InferenceFailed("the application gave no response"))

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body; it is dropped when the response has ended."""
        if not self.response_ended:
            self._body += piece
            if len(self._body) > _MAX_WAITING_BODY_BYTES and not self.is_full:
                self.is_full = True
                self._outlet.set_reading(reading=False)
            self._changed.set()

    def end_body(self) -> None:
        """Take the end of the body."""
        self._body_follows = False
        self._changed.set()

    def lose_client(self) -> None:
        """Take that the connection has gone."""
        self._client_gone = True
        self._changed.set()

    async def _receive(self) -> Message:
        if self._asks_for_body:
            self._asks_for_body = False
            self._outlet.ask_for_body()
        while not (self._client_gone or self.response_ended or self._has_news):
            self._changed.clear()
            await self._changed.wait()
        if self._client_gone or self.response_ended:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        if self.is_full:
            self.is_full = False
            self._outlet.set_reading(reading=True)
        self._body_delivered = not self._body_follows
        return {"type": "http.request", "body": body, "more_body": self._body_follows}

    @property
    def _has_news(self) -> bool:
        return bool(self._body) or not (self._body_follows or self._body_delivered)

    async def _send(self, message: Message) -> None:
        if self._client_gone:
            return
        if message["type"] == "http.response.start":
            self._start = message
            return
        body: bytes = bytes(message.get("body", b""))
        more = bool(message.get("more_body", False))
        if not self.response_begun:
            self._begin_response(len(body), more=more)
        if self._head.method != "HEAD" and body:
            self._outlet.write(b"%x\r\n%b\r\n" % (len(body), body) if self._in_chunks else body)
        if more:
            await self._outlet.drain()
            return
        if self._in_chunks:
            self._outlet.write(b"0\r\n\r\n")
        self.response_ended = True
        self._changed.set()
        self._outlet.end_response()

    def _begin_response(self, body_bytes: int, *, more: bool) -> None:
        if self._start is None:
            raise RuntimeError("the application sent a body before the head of its response")
        status: int = self._start["status"]
        headers = [(bytes(name).lower(), bytes(value)) for name, value in _fields(self._start)]
        given = dict(headers)
        # A client that was not asked for its body may never send it.
        close = self._asks_for_body or given.pop(b"connection", b"").lower() == b"close"
        headers = [field for field in headers if field[0] != b"connection"]
        if b"content-length" not in given and status not in _BODYLESS:
            if not more:
                headers.append((b"content-length", b"%d" % body_bytes))
            elif self._head.version == "1.1":
                headers.append((b"transfer-encoding", b"chunked"))
                self._in_chunks = self._head.method != "HEAD"
            else:
                close = True
        self.response_begun = True
        self._outlet.begin_response(status, headers, close=close)


def _fields(message: Message) -> Iterable[tuple[bytes, bytes]]:
    fields: Iterable[tuple[bytes, bytes]] = message.get("headers", ())
    return fields


def scope_of(
    head: RequestHead,
    state: dict[str, Any],
    server: object,
    client: object,
) -> Scope:
    """Describe a request to an application.

    Args:
        head: Of the request.
        state: The application's, from its start.
        server: Address of this end of the connection, as asyncio names it.
        client: Address of the other end.
    """
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "server": server,
        "client": client,
        "scheme": "http",
        "root_path": "",
        "method": head.method,
        "path": unquote(head.path) if "%" in head.path else head.path,
        "raw_path": head.path.encode("latin-1"),
        "query_string": head.query_string,
        "headers": list(head.fields),
        "state": state.copy(),
    }
