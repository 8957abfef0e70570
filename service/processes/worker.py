"""uvicorn as a worker process, whose connections may come from a supervisor."""

import logging
import signal
import socket
import time
from asyncio import Task, get_running_loop, sleep
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.http1.connection import Connection
from service.api.http1.connection_watch import ConnectionWatch
from service.app import Service
from service.catalog.catalog import Catalog
from service.errors import Draining
from service.metrics.families import ACCEPT_FAILURES
from service.processes.descriptors import AcceptPause
from service.processes.listener_watch import ListenerWatch
from service.processes.signals import StopRequest
from service.processes.tuning import freeze_after_startup
from service.processes.worker_handle import SERVING
from service.settings import Settings

_MAX_MESSAGES_PER_READ = 64
_LINGER_SECONDS = 0.1

_log = logging.getLogger(__name__)


def server_config(settings: Settings, service: Service) -> uvicorn.Config:
    """Configure uvicorn.

    Args:
        settings: Everything that can be set.
        service: The service.
    """
    return uvicorn.Config(
        service.app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks who the client is
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
    )


class Worker(uvicorn.Server):
    """uvicorn's server in one process.

    With a channel to a supervisor it takes the connections that come through it, and stops when the
    supervisor asks or is gone.

    Attributes:
        stop_request: The signals that have asked it to stop.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        number: int = 0,
        channel: socket.socket | None = None,
        *,
        drain_seconds: float = 0.0,
    ) -> None:
        """Prepare to serve.

        Args:
            config: uvicorn's configuration.
            service: The service.
            number: Which worker this is; it writes that slot of the service's status.
            channel: One end of a stream to the supervisor.
            drain_seconds: Time after SIGTERM in which it still answers. A supervisor has its own,
                and says when that is over.
        """
        super().__init__(config)
        self.stop_request = StopRequest(drain_seconds)
        self._process_status = service.status
        self._status = service.status.workers[number]
        self._status.start()
        self._watch = ConnectionWatch(service.connection_limits)
        connection = partial(Connection, service.app, service.pipeline, self._watch, self._status)
        config.http = cast("type[HttpToolsProtocol]", connection)
        self._timer = service.pipeline.timer
        self._reconciler = service.reconciler
        # What was loaded before the fork was frozen there.
        self._frozen = not service.reconciler.catalog.loading
        self._channel = channel
        self._recorder = service.recorder
        self._listener_watch: ListenerWatch | None = None
        self._connecting = set[Task[object]]()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections, through the channel if there is one."""
        self._reconciler.on_change(self._note_catalog)
        if self._channel is None:
            await super().startup([])  # without them: uvloop has a way of its own to accept
            pause = AcceptPause(lambda: self._recorder.add(ACCEPT_FAILURES))
            self._listener_watch = ListenerWatch(sockets or [], self._connect, pause)
            self._listener_watch.start()
            return
        self._channel.setblocking(False)
        await super().startup([])
        get_running_loop().add_reader(self._channel.fileno(), self._take_connections)
        self._status.set_loading(loading=self._reconciler.catalog.loading)
        try:
            self._channel.send(SERVING)
        except OSError:  # the supervisor is gone, which the channel says too
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Count a heartbeat, ten times a second; return whether to stop."""
        self._status.beat()
        # Signals that all processes got: they stop together, when the supervisor says so.
        waits = self._channel is not None and self._process_status.draining
        if self.stop_request.seconds_left(time.monotonic()) == 0 and not waits:
            self.should_exit = True
        self._watch.is_leaving = self._status.draining
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, finish requests and stop.

        uvicorn closes connections whose request it has not read yet. They get a moment, so that
        every accepted connection is answered.
        """
        self._watch.is_leaving = True
        if self._listener_watch is not None:
            self._listener_watch.close()
        if self._channel is not None:
            get_running_loop().remove_reader(self._channel.fileno())
            while self._take_connections():
                pass
            self._channel.close()  # the supervisor sees it, and sends nothing more
        await sleep(_LINGER_SECONDS)
        await super().shutdown(sockets)
        # Those whose body is still on its way have no task that uvicorn could have cancelled.
        self._timer.interrupt_all(Draining("the service stopped before the response was ready"))
        if self.force_exit:  # then uvicorn leaves the application open, and its models running
            await self.lifespan.shutdown()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop on SIGTERM and SIGINT; under a supervisor only on SIGTERM.

        A terminal sends SIGINT to all processes at once, and uvicorn takes a second signal as an
        order to stop without waiting. uvicorn's own method would send all signals again once it has
        stopped, so that the exit status would depend on their order.
        """
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGINT, self.handle_exit if self._channel is None else signal.SIG_IGN)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain or stop on a signal; at once on the supervisor's, which has drained before."""
        now = time.monotonic()
        self.stop_request.receive(sig, now)
        if self.stop_request.seconds_left(now) == 0 or self._process_status.stopping:
            super().handle_exit(sig, frame)
        elif self._channel is None:
            self._process_status.start_draining()
        else:
            self._status.start_leaving()

    def _note_catalog(self, catalog: Catalog) -> None:
        """Publish whether models are being loaded, before ``/readyz`` answers from this catalog."""
        self._status.set_loading(loading=catalog.loading)
        if not catalog.loading and not self._frozen:
            self._frozen = True
            get_running_loop().call_soon(freeze_after_startup)

    def _take_connections(self) -> bool:
        """Take connections from the channel; return whether there may be more."""
        channel = cast("socket.socket", self._channel)
        try:
            message, descriptors, _, _ = socket.recv_fds(
                channel, _MAX_MESSAGES_PER_READ, _MAX_MESSAGES_PER_READ
            )
        except BlockingIOError:
            return False
        except OSError:
            message, descriptors = b"", []
        if not message:  # the supervisor is gone
            get_running_loop().remove_reader(channel.fileno())
            self.should_exit = True
        for descriptor in descriptors:
            self._connect(socket.socket(fileno=descriptor))
        if lost := len(message) - len(descriptors):  # the system has closed them
            self._status.received(lost)
            self._recorder.add(ACCEPT_FAILURES, lost)
            _log.error("connections broke for want of descriptors", extra={"connections": lost})
        return bool(message)

    def _connect(self, connection: socket.socket) -> None:
        loop = get_running_loop()
        connecting = loop.create_task(
            loop.connect_accepted_socket(self.make_protocol, connection), name="connect"
        )
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connected)

    def _connected(self, connecting: "Task[object]") -> None:
        self._connecting.discard(connecting)
        self._status.received(1)
        if not connecting.cancelled():
            connecting.exception()  # its client may have disconnected already

    def make_protocol(self) -> Connection:
        """Make what answers on one connection."""
        make = cast("Callable[..., Connection]", self.config.http_protocol_class)
        return make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
