"""The short way from the socket to the hot path, for requests to the six calls.

A request goes from uvicorn's parser to the hot path and its answer to the transport. There is no
ASGI scope in between, no task, no event loop turn that nothing waits for, and no header is checked
that this service wrote itself: together they cost more than a small model and its codec. A head
that is the one of the request before, byte for byte, is not even parsed.

Whatever is unusual takes uvicorn's way through the application, where the same hot path answers it:
other paths and methods, ``Expect`` and ``Upgrade``, a request that comes while the one before it
is being answered, a client that does not read its answers.
"""

import time
from asyncio import BaseTransport, Task, Transport
from collections.abc import Sized
from typing import Any, cast

from httptools import HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.api.dialects.native.calls import CALLS
from service.api.fast_path.exchange import Exchange
from service.api.fast_path.head_memory import HeadMemory
from service.api.fast_path.request_timer import Watch
from service.api.pipeline import ClientGoneError, Head, Pipeline, Reply
from service.process_status import WorkerStatus

_CALLS_BY_PATH = {path.encode(): call for path, call in CALLS.items()}
_MAX_HEAD_BYTES = 64 * 1024
_MIN_SEPARATE_WRITE_BYTES = 32 * 1024
_BUSY = float("inf")


class _Flow(FlowControl):
    """Reads no more while whole requests wait for their turn.

    uvicorn goes on reading with each answer: a client that sends faster than it is answered, or
    reads no answers at all, would fill the memory with requests.
    """

    def __init__(self, transport: Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP connection with a short way for the six calls; it is counted while open.

    Attributes:
        idle_since: ``time.monotonic()`` at which it began to wait for a request.
    """

    def __init__(
        self, pipeline: Pipeline, watch: Watch, meter: WorkerStatus, **of_server: Any
    ) -> None:
        """Prepare for a connection.

        Args:
            pipeline: Answers the calls.
            watch: Looks after the exchanges and connections of this process.
            meter: Counts connections.
            of_server: What uvicorn gives to its protocols.
        """
        super().__init__(**of_server)
        self._pipeline = pipeline
        self._watch = watch
        self._meter = meter
        self._exchange: Exchange | None = None
        self._memory = HeadMemory()
        self._missing_bytes = 0
        self._in_head = False
        self._head_bytes = 0  # beyond the packet in which it begins
        self.idle_since = _BUSY

    def connection_made(self, transport: BaseTransport) -> None:
        """Count the connection."""
        self._meter.opened()
        self._watch.add_connection(self)
        super().connection_made(transport)  # pyright: ignore[reportArgumentType]  # uvicorn names a subclass
        self.flow = _Flow(self.transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what nobody waits for any more."""
        self._meter.closed()
        self._watch.connections.discard(self)
        if self._exchange is not None:
            self._exchange.interrupt(ClientGoneError())
        super().connection_lost(exc)
        # An exchange knows its connection: both would wait for the garbage collector.
        self.cycle = cast("RequestResponseCycle", None)

    def data_received(self, data: bytes) -> None:
        """Take what has come: after a known head the body alone, else all to the parser."""
        self.idle_since = _BUSY
        memory = self._memory
        if self._missing_bytes:
            self._take_missing(data)
        elif memory.knows(data) and self._is_free():
            self._unset_keepalive_if_required()
            self._missing_bytes = memory.body_bytes
            self._begin(Exchange(self, self._pipeline, cast("Head", memory.head), keep_alive=True))
            self._take_missing(memory.body_of(data))
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        goes_on = self._in_head
        self._memory.begin(data)
        super().data_received(data)
        self._memory.end()
        self._rest_if_free()
        self._head_bytes = self._head_bytes + len(data) if goes_on and self._in_head else 0
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse_head()

    def _refuse_head(self) -> None:
        """Read no more of a head that does not end; neither uvicorn nor its parser would stop."""
        if self._is_free() and not self.transport.is_closing():
            self._write(self._pipeline.refuse_head(_MAX_HEAD_BYTES), keep_alive=False)
        self.transport.close()

    def _rest_if_free(self) -> None:
        """Begin to be idle, if what has come began no request: an end of line, a dropped body."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if self.idle_since == _BUSY and cycle is not None and cycle.response_complete:
            self.idle_since = time.monotonic()

    def _take_missing(self, data: bytes | memoryview) -> None:
        """Take a piece of the body that follows a known head."""
        missing = self._missing_bytes
        self._missing_bytes = max(0, missing - len(data))
        exchange = self._reading()
        if exchange is None:  # the request has been refused
            self._rest_if_free()
        else:
            exchange.add(data if len(data) <= missing else data[:missing])
            if not self._missing_bytes:
                exchange.begin_work()
        if len(data) > missing:
            self._parse(bytes(data[missing:]))

    def on_message_begin(self) -> None:
        """Begin a request; the ASGI scope is made only if it is needed."""
        self._memory.message_begins()
        self._in_head = True
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the way."""
        self._in_head = False
        path, _, query_string = self.url.partition(b"?")
        call = _CALLS_BY_PATH.get(path)
        headers = dict(self.headers)
        parser = cast("HttpRequestParser", self.parser)  # None once the connection is lost
        if (
            call is None
            or b"#" in query_string
            or b"expect" in headers
            or parser.get_method() != b"POST"
            or parser.should_upgrade()
            or not self._is_free()
        ):
            self._take_the_long_way()
            if parser.should_upgrade():  # the parser takes its body for what comes next
                self.cycle.keep_alive = False
            return
        keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        head = Head(call, query_string, headers)
        self._begin(Exchange(self, self._pipeline, head, keep_alive=keep_alive))

    def _is_free(self) -> bool:
        """Whether the requests before have been answered, and the answers read."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return (cycle is None or cycle.response_complete) and not self.flow.write_paused

    def _begin(self, exchange: Exchange) -> None:
        self.idle_since = _BUSY
        # uvicorn looks here to see whether the next request has to wait, and whether to close.
        self.cycle = cast("RequestResponseCycle", exchange)
        self._exchange = exchange
        if exchange.open():
            self.tasks.add(cast("Task[None]", exchange))
            self._watch.begin(exchange)

    def _take_the_long_way(self) -> None:
        self.idle_since = _BUSY
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = expects
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body to whom it belongs."""
        exchange = self._reading()
        if exchange is None:
            super().on_body(body)
        else:
            exchange.add(body)

    def on_message_complete(self) -> None:
        """Answer the request, or let uvicorn answer it."""
        exchange = self._reading()
        self._memory.message_ends(exchange)
        if exchange is None:
            super().on_message_complete()
        else:
            exchange.begin_work()

    def _reading(self) -> Exchange | None:
        """Return the exchange whose body is on its way; what comes of a refused one is dropped."""
        exchange = self._exchange
        return None if exchange is None or exchange.body_has_come else exchange

    def finish(self, exchange: Exchange, reply: Reply) -> None:
        """Write the answer to the open exchange."""
        self._exchange = None
        self.tasks.discard(cast("Task[None]", exchange))
        self._watch.exchanges.discard(exchange)
        if self.transport.is_closing():
            return
        self._write(reply, keep_alive=exchange.keep_alive)
        if not exchange.keep_alive:
            self.transport.close()
        if self.pipeline or self.flow.read_paused:
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self.idle_since = time.monotonic()

    def _write(self, reply: Reply, *, keep_alive: bool) -> None:
        status, headers, body = reply
        pieces: list[bytes | memoryview] = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            pieces += (name, b": ", value, b"\r\n")
        pieces.append(b"content-length: %d\r\n" % len(body))
        if not keep_alive:
            pieces.append(b"connection: close\r\n")
        pieces.append(b"\r\n")
        if len(body) < _MIN_SEPARATE_WRITE_BYTES:
            pieces.append(body)
            self.transport.write(b"".join(pieces))
        else:
            self.transport.writelines((b"".join(pieces), body))

    def close_if_idle(self, since: float) -> None:
        """Close it if no request has come since then."""
        if self.idle_since < since:
            self.timeout_keep_alive_handler()
