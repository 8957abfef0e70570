"""The short way from the socket to the hot path, for requests to the six calls.

A request goes from uvicorn's parser to the hot path and its answer to the transport. There is no
ASGI scope in between, no task, no event loop turn that nothing waits for, and no header is checked
that this service wrote itself: together they cost more than a small model and its codec.

Whatever is unusual takes uvicorn's way through the application, where the same hot path answers it:
other paths and methods, ``Expect`` and ``Upgrade``, a request that comes while the one before it
is being answered, a client that does not read its answers.
"""

import asyncio
import time
from asyncio import BaseTransport, Future, Task
from collections.abc import Coroutine
from typing import Any, cast

from httptools import HttpRequestParser
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.api.calls import CALLS, Call
from service.api.hot_path import ClientGoneError, HotPath, Reply, out_of_time
from service.log_config import request_id
from service.metrics.recorder import ConnectionMeter

_CALLS_BY_PATH = {path.encode(): call for path, call in CALLS.items()}
_SECONDS_BETWEEN_LOOKS = 0.02
_LEAST_WRITTEN_APART_BYTES = 32 * 1024


class Watch:
    """Looks at all open exchanges every 20 ms: one timer, instead of one for each of them."""

    def __init__(self) -> None:
        """Watch nothing yet, and set no timer."""
        self.open: set[Exchange] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, exchange: "Exchange") -> None:
        """Interrupt an exchange that is still open at its deadline."""
        self.open.add(exchange)
        if self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_SECONDS_BETWEEN_LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        for exchange in list(self.open):
            if now >= exchange.deadline:
                exchange.interrupt(out_of_time(body_has_come=exchange.body_has_come))
        if self.open:
            self._set_timer()


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP connection with a short way for the six calls; it is counted while open."""

    def __init__(
        self, hot_path: HotPath, watch: Watch, meter: ConnectionMeter, **of_server: Any
    ) -> None:
        """Prepare for a connection.

        Args:
            hot_path: Answers the calls.
            watch: Looks after the exchanges of this process.
            meter: Counts connections.
            of_server: What uvicorn gives to its protocols.
        """
        super().__init__(**of_server)
        self.hot_path = hot_path
        self.watch = watch
        self._meter = meter
        self._exchange: Exchange | None = None
        self._reading: Exchange | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Count the connection."""
        self._meter.opened()
        super().connection_made(transport)  # pyright: ignore[reportArgumentType]  # uvicorn names a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what nobody waits for any more."""
        self._meter.closed()
        if self._exchange is not None:
            self._exchange.interrupt(ClientGoneError())
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin a request; the ASGI scope is made only if it is needed."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the way."""
        path, _, query_string = self.url.partition(b"?")
        call = _CALLS_BY_PATH.get(path)
        if call is None or not self._is_usual():
            self._take_the_long_way()
            return
        exchange = Exchange(self, call, query_string, self.headers)
        # uvicorn looks here to see whether the next request has to wait, and whether to close.
        self.cycle = cast("RequestResponseCycle", exchange)
        self._exchange = self._reading = exchange
        exchange.open()

    def _is_usual(self) -> bool:
        parser = cast("HttpRequestParser", self.parser)  # None once the connection is lost
        return (
            (self.cycle is None or self.cycle.response_complete)  # pyright: ignore[reportUnnecessaryComparison]  # None before the first request
            and not self.expect_100_continue
            and not self.flow.write_paused
            and parser.get_method() == b"POST"
            and not parser.should_upgrade()
        )

    def _take_the_long_way(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = expects
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body to whom it belongs."""
        if self._reading is None:
            super().on_body(body)
        else:
            self._reading.add(body)

    def on_message_complete(self) -> None:
        """Answer the request, or let uvicorn answer it."""
        exchange = self._reading
        if exchange is None:
            super().on_message_complete()
            return
        self._reading = None
        exchange.begin_work()

    def finish(self, exchange: "Exchange", reply: Reply) -> None:
        """Write the answer to the open exchange."""
        self._exchange = None
        if self._reading is exchange:  # what else comes of its body is dropped
            self._reading = None
        self.tasks.discard(cast("Task[None]", exchange))
        self.watch.open.discard(exchange)
        transport = self.transport
        if transport.is_closing():
            return
        status, headers, body = reply
        pieces: list[bytes | memoryview] = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            pieces += (name, b": ", value, b"\r\n")
        pieces.append(b"content-length: %d\r\n" % len(body))
        if not exchange.keep_alive:
            pieces.append(b"connection: close\r\n")
        pieces.append(b"\r\n")
        if len(body) < _LEAST_WRITTEN_APART_BYTES:
            pieces.append(body)
            transport.write(b"".join(pieces))
        else:
            transport.writelines((b"".join(pieces), body))
        if not exchange.keep_alive:
            transport.close()
        self.on_response_complete()


class Exchange:
    """One request to a call, from its head to its answer.

    To uvicorn it is both what it calls a cycle, which tells it whether the answer has been sent,
    and one of the tasks that it cancels when they take too long at the end.

    Attributes:
        deadline: ``time.monotonic()`` at which it is interrupted.
        body_has_come: Whether the whole request is here.
        keep_alive: Whether the connection is kept after the answer.
        response_complete: Whether the answer has been sent.
        disconnected: Whether uvicorn has seen the connection go.
        message_event: What uvicorn sets for readers of bodies; here are none.
    """

    __slots__ = (
        "_call",
        "_connection",
        "_length",
        "_media_type",
        "_observation",
        "_pieces",
        "_query_string",
        "_ticket",
        "_waiting_for",
        "_work",
        "body_has_come",
        "deadline",
        "disconnected",
        "keep_alive",
        "response_complete",
    )
    message_event = asyncio.Event()

    def __init__(
        self,
        connection: Connection,
        call: Call[Any],
        query_string: bytes,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        """Begin with a request's head.

        Args:
            connection: Where it came from.
            call: The call that it means.
            query_string: The URL's query, undecoded.
            headers: Its headers.
        """
        hot_path, parser = connection.hot_path, cast("HttpRequestParser", connection.parser)
        self._connection = connection
        self._call = call
        self._query_string = query_string
        self._observation = hot_path.observe(call, "POST", headers)
        self._ticket = hot_path.ticket()
        self.deadline = self._ticket.deadline
        self._media_type = ""
        self._pieces: list[bytes] = []
        self._length = 0
        self._work: Coroutine[Any, Any, Reply] | None = None
        self._waiting_for: Future[Any] | None = None
        self.body_has_come = False
        self.keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        self.response_complete = False
        self.disconnected = False

    def open(self) -> None:
        """Refuse the request if its head is reason enough; else wait for its body."""
        try:
            self._media_type = self._connection.hot_path.admit(self._observation)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is answered
            self._refuse(error)
            return
        self._connection.tasks.add(cast("Task[None]", self))
        self._connection.watch.begin(self)

    def add(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(piece)
        self._length += len(piece)
        try:
            self._connection.hot_path.limit(self._length)
        except Exception as error:  # noqa: BLE001  # as above
            self._refuse(error)

    def begin_work(self) -> None:
        """Answer the request, which has come whole."""
        self.body_has_come = True
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._work = self._connection.hot_path.work(
            self._call, self._media_type, self._query_string, body, self._ticket, self._observation
        )
        self._go_on()

    def _go_on(self, _: object = None) -> None:
        """Work until there is something to wait for, or nothing to do.

        This is what ``asyncio.Task`` does, but at once: a task waits for the loop's next turn to
        begin, and costs as much as all of ``Exchange``.
        """
        work = cast("Coroutine[Any, Any, Reply]", self._work)
        outside = request_id.set(self._observation.request_id)
        try:
            self._wait_for(work.send(None))
        except StopIteration as end:
            self._reply(end.value)
        except Exception as error:  # noqa: BLE001  # as above
            self._refuse(error)
        finally:
            request_id.reset(outside)

    def _wait_for(self, future: "Future[Any]") -> None:
        future._asyncio_future_blocking = False  # noqa: SLF001  # how a task acknowledges it
        future.add_done_callback(self._go_on)
        self._waiting_for = future

    def interrupt(self, reason: BaseException) -> None:
        """Stop the work, if the answer has not been sent yet, and answer with the reason."""
        if self.response_complete:
            return
        if self._waiting_for is not None and self._work is not None:
            self._waiting_for.remove_done_callback(self._go_on)
            self._waiting_for.cancel()
            self._work.close()
        self._refuse(reason)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002  # as uvicorn calls it
        """Stop soon, because the server stops."""
        asyncio.get_running_loop().call_soon(self.interrupt, asyncio.CancelledError())
        return True

    def _refuse(self, error: BaseException) -> None:
        self._reply(self._connection.hot_path.refuse(self._observation, error))

    def _reply(self, reply: Reply) -> None:
        self.response_complete = True
        self._work = self._waiting_for = None
        self._connection.finish(self, reply)
