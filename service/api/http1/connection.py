"""One connection of HTTP/1.1, from the bytes of a socket to those of the responses.

Every message is framed here: its head is found and parsed, its body taken by its length or in
chunks. Requests are answered one after another, in the order in which they came.

An inference call goes straight to the pipeline and its response to the transport: there is no ASGI
scope in between, no channel of messages, and no header is checked that this service wrote itself:
together they cost more than a small model and its codec. Every other request goes to the
application (``application``), which contains the same pipeline.
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

from service.api.exchange import ClientGoneError, Exchange
from service.api.http1.application import ApplicationExchange, scope_of
from service.api.http1.connection_watch import NEVER, ConnectionWatch
from service.api.http1.framing import Framing
from service.api.http1.request_head import RequestHead
from service.api.http1.response_writer import ResponseWriter
from service.api.middleware import Application
from service.api.pipeline import Pipeline, Reply
from service.api.problems import Headers
from service.errors import (
    LatentServeError,
    RequestError,
    TransferTooSlow,
)
from service.process_status import WorkerStatus

_MAX_PIECES = 1000  # tiny ones take twenty times the memory of their bytes
_UNAVAILABLE = 503
_MAX_LINGER_BYTES = 4 * 1024 * 1024  # dropped so that a client sees why its connection ends
_HALF_CLOSE_SECONDS = 0.05  # from the end of a request to that of what its client sends


class Connection(asyncio.Protocol):
    """One connection: at most one request is open on it at a time.

    What comes behind an open request waits, and the socket is not read meanwhile. The same holds
    while the client does not read its responses.

    Attributes:
        due: ``time.monotonic()`` after which what is waited for has taken too long.
        exchange: The open call, if there is one.
        application: The open request to the application, if there is one.
    """

    def __init__(
        self,
        app: Application,
        pipeline: Pipeline,
        watch: ConnectionWatch,
        status: WorkerStatus,
        *,
        config: Config,  # noqa: ARG002  # uvicorn passes it to its protocols
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Prepare for a connection.

        Args:
            app: Answers every other request.
            pipeline: Answers inference calls.
            watch: Says when something is due, and what the limits are.
            status: Counts connections.
            config: uvicorn's; what there is to configure comes with the other arguments.
            server_state: uvicorn's.
            app_state: The application's, from its start.
            _loop: Unused, as ``config``.
        """
        self._app = app
        self._pipeline = pipeline
        self._watch = watch
        self._limits = watch.limits
        self._status = status
        self._server_state = server_state
        self._app_state = app_state
        self._transport = cast("Transport", None)  # before there is a connection
        self._peer: object = None
        self._writer = cast("ResponseWriter", None)
        self._context = contextvars.copy_context()
        self._framing = Framing()
        self._pieces: list[bytes | bytearray] = []
        self._received_bytes = self._received_before = 0
        self._awaits_turn = False
        self._input_ended = False
        self._lingering = False
        self._whole_since = 0.0
        self.due = NEVER
        self.exchange: Exchange | None = None
        self.application: ApplicationExchange | None = None

    # What asyncio calls

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin."""
        self._transport = cast("Transport", transport)
        self._peer = transport.get_extra_info("peername")
        self._writer = ResponseWriter(
            self._transport,
            self._server_state,
            self._pipeline.open_bytes,
            self._limits.keep_alive_seconds,
        )
        connections = self._server_state.connections
        connections.add(cast("Any", self))  # uvicorn asks them to shut down
        self._status.opened()
        self.due = time.monotonic() + self._limits.head_seconds
        self._watch.add(self)
        if (refusal := self._watch.refuse_surplus()) is not None:
            self.refuse(refusal)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's protocol
        """Interrupt the open request, whose client has gone."""
        self._server_state.connections.discard(cast("Any", self))
        self._status.closed()
        self._watch.remove(self)
        self._writer.resume()
        self._framing.stop()
        if self.exchange is not None:
            self.exchange.interrupt(ClientGoneError())
        if self.application is not None:
            self.application.lose_client()
            self.application = None

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        framing = self._framing
        if self._lingering:
            self._received_bytes += len(data)
            if self._received_bytes - self._received_before > _MAX_LINGER_BYTES:
                self._transport.abort()
            return
        framing.read(data, self)
        if framing.held or framing.body is not None:
            self._pace(len(data))

    def eof_received(self) -> bool:
        """Take that the client sends no more; return whether it still gets a response.

        It may have left, or only have closed its side. Those that close their side do so right
        behind the request; those that leave have lost their patience with it.
        """
        framing = self._framing
        whole = framing.body is None and not framing.is_in_head
        waits = whole and (self.is_answering or bool(framing.held))
        began = 0.0 if self.exchange is None else self.exchange.record.started
        since = max(began, self._whole_since)
        if waits and time.perf_counter() - since < _HALF_CLOSE_SECONDS:
            self._input_ended = True
        return waits and self._input_ended

    def pause_writing(self) -> None:
        """Begin no further request: the client does not read its responses."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """Go on with what waited for the client to read."""
        self._writer.resume()
        if not (self.is_answering or self._transport.is_closing()):
            self._framing.waits = False
            self._rest()
            self._read_held()

    # What the server calls

    def shutdown(self) -> None:
        """Close the connection after the open response, at once if there is none."""
        self._writer.keep_alive = False
        if not self.is_answering:
            self._hang_up()

    def check(self, now: float) -> None:
        """End what has taken too long; called when it is due."""
        if self._lingering:
            self._transport.abort()
        elif self._transport.is_closing() or self._writer.is_paused:
            if self._writer.has_progressed(self._limits.min_progress_bytes):
                self.due = now + self._limits.stall_seconds
            else:
                self._transport.abort()
        elif self._framing.body is not None and self.is_answering:
            self._check_body(now)
        elif self._awaits_turn:
            self.due = now + self._limits.stall_seconds
        elif self._framing.is_in_head:
            self.refuse(TransferTooSlow("the request's head did not come in time"))
        elif not self.is_answering:  # nothing came, or the rest of a refused body did not end
            self._hang_up()

    @property
    def is_answering(self) -> bool:
        """Whether a request is open."""
        return self.exchange is not None or self.application is not None

    def _read_held(self) -> None:
        """Read what waited for a response, or for the client to read."""
        framing = self._framing
        if self._awaits_turn:
            return
        if framing.held and not self._transport.is_closing():
            self._transport.resume_reading()
            framing.read_held(self)
            self._pace(0)

    def _pace(self, body_bytes: int) -> None:
        """Leave what comes to the system while something waits, for a response or for its turn."""
        framing = self._framing
        if framing.body is not None:
            self._pipeline.turns.spend_reading(body_bytes)
            if framing.held or self.is_turn_over:
                self._await_turn(wanted=self.is_answering)
        elif framing.held:
            self._transport.pause_reading()
            if not framing.waits:
                self._await_turn(wanted=True)

    def _await_turn(self, *, wanted: bool) -> None:
        """Read on in a later turn of the event loop."""
        self._transport.pause_reading()
        if not self._awaits_turn:
            self._awaits_turn = True
            begun = len(self._pieces) > 1
            self._pipeline.turns.resume_later(self._read_on, wanted=wanted, begun=begun)

    def _read_on(self) -> None:
        self._awaits_turn = False
        if not self._is_held_back and not self._transport.is_closing():
            if self._framing.held:
                self._read_held()
            else:
                self._transport.resume_reading()

    @property
    def _is_held_back(self) -> bool:
        """Whether a body waits for somebody else than its client."""
        is_full = self.application is not None and self.application.is_full
        return self._awaits_turn or is_full

    # What the framing calls

    @property
    def is_turn_over(self) -> bool:
        """Whether what is left has to wait for another turn of the event loop."""
        return self._awaits_turn or self._pipeline.turns.is_over

    def spend(self, seconds: float) -> None:
        """Count reading as work of this turn of the event loop."""
        self._pipeline.turns.spend(seconds)

    def spend_refusing(self) -> None:
        """Count a request that was answered by its head, with others right behind it."""
        self._pipeline.turns.spend_refusing()

    def begin(self, head: RequestHead, body: bytes | None) -> None:
        """Begin a request, with its body if all of it is there."""
        self.due = NEVER
        writer = self._writer
        writer.keep_alive = head.keep_alive and not self._watch.is_leaving
        writer.is_old_client = head.version == "1.0"
        self._received_before = self._received_bytes
        self._open(head, body)
        if body is None and not (self._lingering or self._transport.is_closing()):
            limits = self._limits
            seconds = limits.stall_seconds if self.is_answering else limits.discard_seconds
            self.due = time.monotonic() + seconds

    def take(self, piece: bytes) -> None:
        """Take a piece of a body, of which nothing is kept once its request has been answered."""
        self._received_bytes += len(piece)
        exchange = self.exchange
        if self.application is not None:
            self.application.feed(piece)
        elif exchange is not None and not exchange.body_received:
            try:
                self._pipeline.receive(exchange, len(piece))
            except RequestError as error:
                self._reject(exchange, error)
                return
            self._pieces.append(piece)
            if len(self._pieces) > _MAX_PIECES:
                self._pieces = [_join(self._pieces)]

    def end_body(self) -> None:
        """Take that all of a body has come."""
        self.due = NEVER
        self._whole_since = time.perf_counter()
        if self.application is not None:
            self.application.end_body()
        elif self.exchange is None:
            self._rest()
        elif not self.exchange.body_received:
            self._start_work(self.exchange)

    def wait_for_head(self, since: float) -> None:
        """Give the rest of a head its time."""
        self.due = since + self._limits.head_seconds

    def refuse(self, error: LatentServeError) -> None:
        """Answer what is no request, or none that can be read to its end."""
        self.application = None
        self._writer.keep_alive = False
        self._writer.write_reply(self._pipeline.refuse(error, self._peer))
        self._hang_up(reads_on=True)

    def refuse_body(self, error: RequestError) -> None:
        """Refuse an open request whose body cannot be read to its end."""
        self._writer.keep_alive = False
        if self.exchange is not None:
            self.exchange.interrupt(error)
        elif self.application is not None and not self.application.response_begun:
            self.application.lose_client()
            self.refuse(error)
        else:
            self._hang_up()

    # Requests

    def _open(self, head: RequestHead, body: bytes | None) -> None:
        """Open a request, with its body if all of it is there."""
        endpoint = self._pipeline.match(head.path) if head.method == "POST" else None
        if endpoint is None:
            self._open_application(head, body)
            return
        exchange = self._pipeline.open_exchange(endpoint, head, self._peer)
        self.exchange = exchange
        try:
            self._pipeline.admit(exchange)
        except Exception as error:  # noqa: BLE001  # whatever it is, there is a response
            self._reject(exchange, error)
            return
        exchange.abandon = self._reject
        self._pipeline.timer.add(exchange)
        if head.expects_continue:
            self._writer.ask_for_body()
        if body is not None:
            exchange.body_received = True
            _start_task(self._work(exchange, body))

    def _open_application(self, head: RequestHead, body: bytes | None) -> None:
        self._whole_since = time.perf_counter()
        addresses = self._transport.get_extra_info("sockname"), self._peer
        scope = scope_of(head, self._app_state, *addresses)
        application = ApplicationExchange(self._app, self, head, scope)
        self.application = application
        if body is not None:
            application.feed(body)
            application.end_body()
        task = asyncio.get_running_loop().create_task(application.run())
        self._server_state.tasks.add(task)  # the server waits for them, and cancels them at its end
        task.add_done_callback(self._server_state.tasks.discard)

    def _check_body(self, now: float) -> None:
        """Wait for the rest of a body if it goes on, else end its request."""
        progress = self._received_bytes - self._received_before
        self._received_before = self._received_bytes
        self.due = now + self._limits.stall_seconds
        if progress < self._limits.min_progress_bytes and not self._is_held_back:
            self.refuse_body(TransferTooSlow("the request's body stopped coming"))

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
        """Write the response to the open call, and go on with what waited for it."""
        self._pipeline.close_exchange(exchange)
        self.exchange = None
        self._pieces = []
        if self._transport.is_closing():
            return
        if reply.closes:
            self._writer.keep_alive = False
        self._writer.write_reply(reply)
        if reply.status == _UNAVAILABLE and self._writer.keep_alive:
            # What its client sends next is read when there is time for it: refusing ten times the
            # load as fast as it comes would leave none for what has been taken.
            self._await_turn(wanted=False)
        self._go_on()

    def _go_on(self) -> None:
        """Go on with what waited for a response."""
        self._server_state.total_requests += 1
        if not self._writer.keep_alive:
            self._hang_up()
            return
        if self._writer.is_paused:
            self._rest()
            return
        framing = self._framing
        framing.waits = False
        if framing.body is None and not (framing.held or self._input_ended):
            self.due = time.monotonic() + self._limits.keep_alive_seconds
        elif framing.held:
            # Not in the task's own context: the next request would see what this one set.
            asyncio.get_running_loop().call_soon(self._read_held, context=self._context)
        else:
            self._rest()

    def _rest(self) -> None:
        """Wait for a request, or for what has to come before one; no request is open."""
        if self._input_ended and not self._framing.held:
            self._hang_up()
            return
        limits = self._limits
        if self._framing.body is not None:
            seconds = limits.discard_seconds
        elif self._writer.is_paused:
            seconds = limits.stall_seconds
        else:
            seconds = limits.keep_alive_seconds
        self.due = time.monotonic() + seconds

    def _hang_up(self, *, reads_on: bool = False) -> None:
        """Close the connection when everything has been written.

        A system that closes a connection while something comes resets it, and the client may never
        see the response. So what comes is dropped for a moment, if the client is still sending.
        """
        if self._transport.is_closing() or self._lingering:
            return
        limits, now = self._limits, time.monotonic()
        reads_on |= self._framing.body is not None
        self._framing.stop()
        if reads_on and self._transport.can_write_eof():
            self._lingering = True
            self._received_before = self._received_bytes
            self._transport.resume_reading()
            self._transport.write_eof()
            self.due = now + limits.linger_seconds
        else:
            self._transport.close()
            self._writer.has_progressed(0)  # from here on
            self.due = now + limits.stall_seconds

    # What an exchange with the application calls

    def begin_response(self, status: int, headers: Headers, *, close: bool) -> None:
        """Write the head of the application's response."""
        self._writer.keep_alive &= not close
        if not self._transport.is_closing():
            self._writer.write_head(status, headers)

    def write(self, data: bytes) -> None:
        """Write a piece of the application's response."""
        if not self._transport.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        """Return when the client has read enough of the response."""
        await self._writer.drain()

    def ask_for_body(self) -> None:
        """Tell the client to send the body that it has announced."""
        self._writer.ask_for_body()

    def set_reading(self, *, reading: bool) -> None:
        """Read from the socket, or leave what comes to the system."""
        if not reading:
            self._transport.pause_reading()
        elif not self._awaits_turn:
            asyncio.get_running_loop().call_soon(self._read_on, context=self._context)

    def end_response(self) -> None:
        """Go on with the next request."""
        was_held_back, self.application = self._is_held_back, None
        if not self._transport.is_closing():
            self._go_on()
            framing = self._framing
            if (
                was_held_back
                and framing.body is not None
                and not (framing.held or self._awaits_turn)
            ):
                self._transport.resume_reading()  # what is left of the body is dropped

    def fail(self, error: LatentServeError) -> None:
        """Answer why there is no response, or hang up where one has begun."""
        application, self.application = self.application, None
        if application is None or self._transport.is_closing():
            return
        if application.response_begun:
            self._transport.abort()
        else:
            self.refuse(error)


if sys.version_info >= (3, 12):

    def _start_task(work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a task: at once until it first waits."""
        asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)

else:

    def _start_task(work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a task, from the loop's next turn on."""
        asyncio.get_running_loop().create_task(work)


def _join(pieces: list[bytes | bytearray]) -> bytearray:
    """Join pieces; the first, if it has been joined before, is not copied again."""
    first, *others = pieces
    joined = first if isinstance(first, bytearray) else bytearray(first)
    joined += b"".join(others)
    return joined
