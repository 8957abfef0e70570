"""The fast path: from the socket to the pipeline and back, for requests that are usual.

A request goes from httptools' parser to the pipeline, and its response to the transport. There is
no ASGI scope in between, no channel of messages, and no header is checked that this service wrote
itself: together they cost more than a small model and its codec. A request is usual when one of the
dialects matches its path, it is a POST, and its body is framed by its length. Every other request
on the connection is handled by uvicorn's own protocol object (``handover``), through the
application, which contains the same pipeline.
"""

import asyncio
import contextvars
import sys
import time
from asyncio import BaseTransport, Transport
from collections.abc import Coroutine
from typing import Any, cast

from uvicorn import Config
from uvicorn.server import ServerState

from service.api.dialects.dialect import Endpoint
from service.api.exchange import ClientGoneError, Exchange
from service.api.fast_path.handover import Handover
from service.api.fast_path.idle_connections import IdleConnections
from service.api.fast_path.request_head import END_OF_HEAD, PartialHead, RequestHead, read_head
from service.api.fast_path.response_head import write_head
from service.api.pipeline import Pipeline, Reply
from service.process_status import WorkerStatus

_MAX_HEAD_BYTES = 64 * 1024
_MAX_KEPT_HEAD_BYTES = 1024
_MAX_PIECES = 1000  # tiny ones take twenty times the memory of their bytes
_MIN_SEPARATE_WRITE_BYTES = 32 * 1024
_BUSY = float("inf")


class Connection(asyncio.Protocol):
    """One connection: at most one request of the fast path is open on it at a time.

    What comes behind an open request waits, and the socket is not read meanwhile. The same holds
    while the client does not read its responses.

    Attributes:
        idle_since: ``time.monotonic()`` at which it began to wait for a request.
        exchange: The open request, if there is one.
        handover: Handles unusual requests, once there has been one.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        idle_connections: IdleConnections,
        status: WorkerStatus,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Prepare for a connection.

        Args:
            pipeline: Handles inference requests.
            idle_connections: Closes the connection when no request comes.
            status: Counts connections.
            config: uvicorn's.
            server_state: uvicorn's.
            app_state: The application's, from its start.
            _loop: Unused; uvicorn passes it to its protocols.
        """
        self._pipeline = pipeline
        self._idle_connections = idle_connections
        self._status = status
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._transport = cast("Transport", None)  # before there is a connection
        self._context = contextvars.copy_context()
        self._partial_head: PartialHead | None = None
        self._last_raw_head = b""  # clients send the same head over and over
        self._last_head: RequestHead | None = None
        self._pieces: list[bytes | bytearray] = []
        self._missing_bytes = 0
        self._held = b""
        self._keep_alive = True
        self._write_paused = False
        self.idle_since = _BUSY
        self.exchange: Exchange | None = None
        self.handover: Handover | None = None

    # What asyncio calls

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin."""
        self._transport = cast("Transport", transport)
        self._server_state.connections.add(cast("Any", self))  # uvicorn asks them to shut down
        self._status.opened()
        self._idle_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's protocol
        """Interrupt the open request, whose client has gone."""
        self._server_state.connections.discard(cast("Any", self))
        self._status.closed()
        self._idle_connections.remove(self)
        self._held = b""
        if self.exchange is not None:
            self.exchange.interrupt(ClientGoneError())
        if self.handover is not None:
            self.handover.connection_lost()
            self.handover = None

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self.idle_since = _BUSY
        if self.handover is not None and self.handover.is_active:
            if not self.handover.is_over:
                self.handover.receive(data)
                return
            self.handover.end()
        if self._held:
            self._held += data  # from before reading was paused
        else:
            self._read(data)

    def pause_writing(self) -> None:
        """Begin no further request: the client does not read its responses."""
        self._write_paused = True
        if self.handover is not None:
            self.handover.pause_writing()

    def resume_writing(self) -> None:
        """Go on with what waited for the client to read."""
        self._write_paused = False
        if self.handover is not None:
            self.handover.resume_writing()
        self._read_held()

    # What the server calls

    def shutdown(self) -> None:
        """Close the connection after the open response, at once if there is none."""
        if self.handover is not None and self.handover.is_active:
            self.handover.shut_down()
        elif self.exchange is None:
            self._transport.close()
        else:
            self._keep_alive = False

    def close_if_idle(self, since: float) -> None:
        """Close the connection if no request has come since then."""
        handover = self.handover
        if handover is not None and handover.is_active and self.idle_since == _BUSY:
            if handover.has_answered:  # the rest of a body may never come
                self.idle_since = time.monotonic()
        elif self.idle_since < since:
            self._transport.close()

    # Reading

    def _read(self, data: bytes) -> None:
        """Read requests until one has to wait for the response before it, or for more bytes."""
        if (partial := self._partial_head) is not None:
            self._keep_head(data)
            if not partial.is_whole:
                self._rest_if_free()
                return
            data, self._partial_head = partial.content, None
        position = 0
        while position < len(data) and not self._transport.is_closing():
            if self._missing_bytes:
                position = self._read_body(data, position)
                continue
            if self.exchange is not None or self._write_paused:
                self._held = data[position:]
                self._transport.pause_reading()
                return
            begin = _skip_line_ends(data, position)
            if begin == len(data):
                break
            position = data.find(END_OF_HEAD, begin) + len(END_OF_HEAD)
            if position < len(END_OF_HEAD):
                self._keep_head(data[begin:])
                break
            if not self._begin(data[begin:position]):
                self._hand_over(data[begin:])
                return
        self._rest_if_free()

    def _read_held(self) -> None:
        """Read what waited for a response, or for the client to read."""
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.resume_reading()
            self._read(held)

    def _keep_head(self, data: bytes) -> None:
        """Keep the beginning of a head, unless it is too long or not one at all."""
        partial = PartialHead() if self._partial_head is None else self._partial_head
        self._partial_head = partial
        partial.add(data)
        if partial.is_malformed:
            self._partial_head = None
            self._hand_over(partial.content)
        elif len(partial) > _MAX_HEAD_BYTES and not partial.is_whole:
            self._partial_head = None
            self._keep_alive = False
            self._write(self._pipeline.reject_head(_MAX_HEAD_BYTES))
            self._transport.close()

    def _begin(self, raw_head: bytes) -> bool:
        """Begin a request; return whether it is one for the fast path."""
        head = self._last_head
        if raw_head != self._last_raw_head:
            head = read_head(raw_head)
            if len(raw_head) <= _MAX_KEPT_HEAD_BYTES:
                self._last_raw_head, self._last_head = raw_head, head
        if head is None or head.method != "POST" or not head.is_usual:
            return False
        endpoint = self._pipeline.match(head.path)
        if endpoint is None:
            return False
        self._open(endpoint, head)
        return True

    def _open(self, endpoint: Endpoint, head: RequestHead) -> None:
        self.idle_since = _BUSY  # the request before, in the same piece, may have been answered
        self._missing_bytes = head.body_bytes
        self._keep_alive = head.keep_alive
        exchange = self._pipeline.open_exchange(endpoint, head)
        self.exchange = exchange
        try:
            self._pipeline.admit(exchange)
        except Exception as error:  # noqa: BLE001  # whatever it is, there is a response
            self._reject(exchange, error)
            return
        exchange.abandon = self._reject
        self._pipeline.timer.add(exchange)
        if not self._missing_bytes:
            self._start_work(exchange)

    def _read_body(self, data: bytes, position: int) -> int:
        """Take a piece of a body, of which nothing is kept once its request has been rejected."""
        piece = data[position : position + self._missing_bytes]
        self._missing_bytes -= len(piece)
        exchange = self.exchange
        if exchange is not None and not exchange.body_received:
            self._pieces.append(piece)
            if len(self._pieces) > _MAX_PIECES:
                self._pieces = [_join(self._pieces)]
            if not self._missing_bytes:
                self._start_work(exchange)
        if self._missing_bytes:
            self._share_turn(len(piece))
        return position + len(piece)

    def _share_turn(self, body_bytes: int) -> None:
        """Read on in a later turn of the event loop if this one has read enough."""
        turns = self._pipeline.turns
        turns.spend_reading(body_bytes)
        if turns.is_over:
            self._transport.pause_reading()
            wanted = self.exchange is not None
            turns.resume_later(self._read_on, wanted=wanted, begun=len(self._pieces) > 1)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _hand_over(self, data: bytes) -> None:
        self.idle_since = _BUSY
        if self.handover is None:
            self.handover = Handover(
                self._transport, self._config, self._server_state, self._app_state
            )
        self.handover.begin(data)

    # Answering

    def _start_work(self, exchange: Exchange) -> None:
        exchange.body_received = True
        pieces, self._pieces = self._pieces, []
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        _start_task(self._work(exchange, body if isinstance(body, bytes) else bytes(body)))

    async def _work(self, exchange: Exchange, body: bytes) -> None:
        if exchange.is_interrupted:  # before the task had started
            return
        task = cast("asyncio.Task[None]", asyncio.current_task())
        exchange.task = task
        self._server_state.tasks.add(task)  # the server waits for them, and cancels them at its end
        try:
            self._finish(exchange, await self._pipeline.answer(exchange, body))
        finally:
            self._server_state.tasks.discard(task)

    def _reject(self, exchange: Exchange, error: BaseException) -> None:
        self._finish(exchange, self._pipeline.reject(exchange, error))

    def _finish(self, exchange: Exchange, reply: Reply) -> None:
        """Write the response to the open exchange, and go on with what waited for it."""
        self._pipeline.timer.remove(exchange)
        self.exchange = None
        self._pieces = []
        if self._transport.is_closing():
            return
        self._write(reply)
        self._server_state.total_requests += 1
        if not self._keep_alive:
            self._transport.close()
        elif self._held and not self._write_paused:
            # Not in the task's own context: the next request would see what this one set.
            asyncio.get_running_loop().call_soon(self._read_held, context=self._context)
        else:
            self._rest_if_free()

    def _rest_if_free(self) -> None:
        """Begin to be idle unless a request is open."""
        handed_over = self.handover is not None and self.handover.is_active
        if self.exchange is None and not self._held and not handed_over:
            self.idle_since = time.monotonic()

    def _write(self, reply: Reply) -> None:
        head = write_head(reply, self._server_state.default_headers, keep_alive=self._keep_alive)
        if len(reply.body) < _MIN_SEPARATE_WRITE_BYTES:
            self._transport.write(b"".join((head, reply.body)))
        else:
            self._transport.writelines((head, reply.body))


if sys.version_info >= (3, 12):

    def _start_task(work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a task: at once until it first waits."""
        asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)

else:

    def _start_task(work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a task, from the loop's next turn on."""
        asyncio.get_running_loop().create_task(work)


def _skip_line_ends(data: bytes, position: int) -> int:
    """Skip the line ends that some clients send between two requests."""
    while position < len(data) and data[position] in b"\r\n":
        position += 1
    return position


def _join(pieces: list[bytes | bytearray]) -> bytearray:
    """Join pieces; the first, if it has been joined before, is not copied again."""
    first, *others = pieces
    joined = first if isinstance(first, bytearray) else bytearray(first)
    joined += b"".join(others)
    return joined
