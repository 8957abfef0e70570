"""uvicorn as one worker: its connections are counted, and may come from a supervisor."""

import signal
import socket
from asyncio import Task, get_running_loop, sleep
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.fast_path.connection import Connection
from service.api.fast_path.idle_connections import IdleConnections
from service.app import Service
from service.errors import Draining
from service.metrics.families import WORKERS
from service.processes.tuning import freeze_after_startup
from service.processes.worker_handle import LOADED, SERVING
from service.settings import Settings

_MAX_MESSAGES_PER_READ = 64
_LINGER_SECONDS = 0.1
_NEVER_SECONDS = 10 * 365 * 24 * 3600


def server_config(settings: Settings, service: Service, *, loads: bool = True) -> uvicorn.Config:
    """Configure uvicorn.

    Args:
        settings: Everything that can be set.
        service: What answers.
        loads: Whether this process loads models, and closes them.
    """
    return uvicorn.Config(
        service.app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on" if loads else "off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks who the client is
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
    )


class Worker(uvicorn.Server):
    """A process that answers.

    With a channel to a supervisor it takes the connections that come through it, says what it is
    ready for, and stops when the supervisor asks or is gone.

    Attributes:
        interrupted: Whether SIGINT was among what stopped it.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        number: int = 0,
        channel: socket.socket | None = None,
    ) -> None:
        """Prepare to serve; its numbers go to the recorder's present segment.

        Args:
            config: uvicorn's configuration.
            service: What answers.
            number: Which worker this is.
            channel: One end of a stream to the supervisor.
        """
        super().__init__(config)
        self.interrupted = False
        meter = service.recorder.connections(number)
        idle_connections = IdleConnections(config.timeout_keep_alive)
        config.timeout_keep_alive = _NEVER_SECONDS  # idle connections are closed by the line above
        connection = partial(Connection, service.pipeline, idle_connections, meter)
        config.http = cast("type[HttpToolsProtocol]", connection)
        self._timer = service.pipeline.timer
        service.recorder.add(WORKERS)
        self._heartbeat = service.recorder.heartbeat(number)
        self._registry = service.registry
        self._channel = channel
        self._settling: Task[None] | None = None
        self._connecting = set[Task[object]]()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections; with a channel, from it as well as from the sockets."""
        # What came loaded out of the supervisor has been settled there.
        loaded = self._registry.loading_finished
        if not loaded:
            self._settling = get_running_loop().create_task(self._settle(), name="settle")
        if self._channel is None:
            await super().startup(sockets)
            return
        self._channel.setblocking(False)
        await super().startup(sockets or [])
        get_running_loop().add_reader(self._channel.fileno(), self._take_connections)
        self._tell(SERVING + LOADED if loaded else SERVING)

    async def on_tick(self, counter: int) -> bool:
        """Show ten times a second that the event loop turns; return whether to stop."""
        self._heartbeat.beat()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, finish requests and stop.

        uvicorn closes connections whose request it has not read yet. They get a moment, so that
        whoever was let in is answered.
        """
        for server in self.servers:
            server.close()
        if self._channel is not None:
            get_running_loop().remove_reader(self._channel.fileno())
            while self._take_connections():
                pass
            self._channel.close()  # the supervisor sees it, and hands nothing more
        await sleep(_LINGER_SECONDS)
        await super().shutdown(sockets)
        # Those whose body is still on its way have no task that uvicorn could have cancelled.
        self._timer.interrupt_all(Draining("the service stopped before the answer was ready"))
        if self.force_exit:  # then uvicorn leaves the application open, and its models running
            await self.lifespan.shutdown()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop on SIGTERM and SIGINT; under a supervisor SIGINT is for it to act on.

        A terminal sends SIGINT to all processes at once, and uvicorn takes a second signal for
        impatience. Its own way would send all of them again once it has stopped, and leave to
        chance which of them the process ends by.
        """
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGINT, self.handle_exit if self._channel is None else signal.SIG_IGN)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take note of a signal to stop."""
        self.interrupted |= sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def _settle(self) -> None:
        """Tell at once that all is loaded: who has read so of ``/readyz`` may be connecting."""
        await self._registry.wait_until_loaded()
        self._tell(LOADED)
        freeze_after_startup()

    def _tell(self, message: bytes) -> None:
        if self._channel is not None:
            try:
                self._channel.send(message)
            except OSError:  # the supervisor has gone, which the channel says as well
                self.should_exit = True

    def _take_connections(self) -> bool:
        """Take what has come through the channel; return whether there may be more."""
        channel = cast("socket.socket", self._channel)
        try:
            message, descriptors, _, _ = socket.recv_fds(
                channel, _MAX_MESSAGES_PER_READ, _MAX_MESSAGES_PER_READ
            )
        except BlockingIOError:
            return False
        except OSError:
            message, descriptors = b"", []
        if not message:  # the supervisor has gone
            get_running_loop().remove_reader(channel.fileno())
            self.should_exit = True
        for descriptor in descriptors:
            self._connect(socket.socket(fileno=descriptor))
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
        if not connecting.cancelled():
            connecting.exception()  # a client that has already gone is nobody's fault

    def make_protocol(self) -> Connection:
        """Make what answers on one connection."""
        make = cast("Callable[..., Connection]", self.config.http_protocol_class)
        return make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
