"""The service behind real sockets in this process, byte by byte."""

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.http1.connection import Connection
from service.app import Service, create_service
from service.processes.worker import Worker, server_config
from tests.api.clients import quiet_settings

_GENERATED_ID = re.compile(rb"\b[0-9a-f]{32}\b")
_MEASURED = ("date", "server-timing")
_OF_THE_CONNECTION = "keep-alive"  # uvicorn says nothing of it
_TURNS = 50  # of the event loop, in which a request is refused by its head


@dataclass(frozen=True)
class Answer:
    """One answer as it came over the wire.

    Attributes:
        status: HTTP status.
        headers: In their order, their names as they were sent.
        body: The body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def values(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other == name]

    def comparable(self, *also_without: str) -> "Answer":
        """Return it in the order of header names, without what differs from time to time."""
        headers = sorted(
            (name, _GENERATED_ID.sub(b"<id>", value.encode()).decode())
            for name, value in self.headers
            if name not in (*_MEASURED, _OF_THE_CONNECTION, *also_without)
        )
        return Answer(self.status, tuple(headers), _GENERATED_ID.sub(b"<id>", self.body))


def parse_answer(data: bytes | bytearray) -> tuple[Answer, int] | None:
    """Read the first answer of what a server sent; return it and its length, if it is whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    status_line, *lines = bytes(data[:end]).decode().split("\r\n")
    version, status, _ = status_line.split(" ", 2)
    assert version == "HTTP/1.1", status_line
    headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
    lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
    assert len(lengths) == (0 if status in ("100", "204") else 1), headers
    last = end + 4 + sum(lengths)
    if len(data) < last:
        return None
    return Answer(int(status), headers, bytes(data[end + 4 : last])), last


class Client:
    """One connection to a server in this process.

    Attributes:
        protocol: The server's end of it.
    """

    def __init__(
        self, protocol: Connection | HttpToolsProtocol, ours: socket.socket, open_ones: set[Any]
    ) -> None:
        self.protocol = protocol
        self._socket = ours
        self._open_ones = open_ones
        self._received = bytearray()
        self._ended = False

    @property
    def transport(self) -> asyncio.Transport:
        if isinstance(self.protocol, Connection):
            return self.protocol._transport
        return self.protocol.transport

    @property
    def connection(self) -> Connection:
        assert isinstance(self.protocol, Connection)
        return self.protocol

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        await until(self.is_gone)

    def is_gone(self) -> bool:
        """Whether the server knows that the connection is over."""
        return self.protocol not in self._open_ones

    def has_ended(self) -> bool:
        """Whether the server writes nothing more."""
        lingering = isinstance(self.protocol, Connection) and self.protocol._lingering
        return lingering or self.transport.is_closing()

    def leave(self) -> None:
        """Reset the connection: one that is only closed may have been half closed."""
        at_once = struct.pack("ii", 1, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self._socket.close()

    def send_no_more(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    async def send(self, *pieces: bytes) -> None:
        """Send over the socket; the server reads when its turn comes."""
        for piece in pieces:
            await asyncio.get_running_loop().sock_sendall(self._socket, piece)

    async def deliver(self, *pieces: bytes) -> None:
        """Hand pieces to the server's end exactly as they are cut, while it reads at all."""
        for piece in pieces:
            await until(lambda: self.has_ended() or self.transport.is_reading())
            if not self.transport.is_closing():
                self.protocol.data_received(piece)

    async def receive(self) -> Answer:
        """Read one answer; raises ConnectionError when there is none."""
        while (found := parse_answer(self._received)) is None:
            if self._ended:
                raise ConnectionError(f"{len(self._received)} bytes, and then nothing")
            await self._read()
        answer, length = found
        del self._received[:length]
        return answer

    async def answers(self) -> list[Answer]:
        """Read answers until the server closes the connection, which it does within a whole one."""
        answers: list[Answer] = []
        while not self._ended:
            await self._read()
        while self._received:
            answers.append(await self.receive())
        return answers

    async def all_answers(self) -> list[Answer]:
        """Wait until the server has done what it can; close the connection, and read it all."""
        await self.settle()
        self.transport.close()
        return await self.answers()

    async def _read(self) -> None:
        try:
            piece = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
        except ConnectionError:
            piece = b""
        self._ended = not piece
        self._received += piece

    async def settle_for_good(self, counter: Callable[[], float]) -> None:
        """Wait until a number has not changed for a while, which is no proof that it will not."""
        before, turns = counter(), 0
        while turns < _TURNS:
            await asyncio.sleep(0.001)
            now = counter()
            turns = turns + 1 if now == before else 0
            before = now

    async def settle(self) -> None:
        """Wait until what has come is answered, as far as it can be before more comes."""
        turns = 0
        while turns < _TURNS and not (self.has_ended() or self._is_free()):
            # No model works for a request that is not here yet: what there is to do is done soon.
            turns = 0 if self._is_working() else turns + 1
            await asyncio.sleep(0 if turns else 0.001)

    def _is_free(self) -> bool:
        """Whether everything that has come is answered."""
        if isinstance(self.protocol, Connection):
            connection = self.protocol
            return not (
                connection._framing.held or connection.is_answering or connection._framing.body
            )
        cycle = cast("Any", self.protocol.cycle)
        return cycle is None or cycle.response_complete

    def _is_working(self) -> bool:
        """Whether something has come whole and is not answered."""
        if isinstance(self.protocol, Connection):
            connection = self.protocol
            if connection.exchange is not None:
                return connection.exchange.body_received
            if connection.application is not None:
                return connection._framing.body is None
            return bool(connection._framing.held)
        return bool(self.protocol.pipeline) or not cast("Any", self.protocol.cycle).more_body


class Server:
    """A running server.

    Attributes:
        service: What answers.
        uvicorn: What serves.
        address: Where it listens.
    """

    def __init__(self, service: Service, server: uvicorn.Server, address: tuple[str, int]) -> None:
        self.service = service
        self.uvicorn = server
        self.address = address

    def is_open(self, protocol: object) -> bool:
        return protocol in self.uvicorn.server_state.connections

    def tasks(self) -> set[Any]:
        return cast("set[Any]", self.uvicorn.server_state.tasks)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Client]:
        """Open a connection, and close it."""
        before = set(self.uvicorn.server_state.connections)
        ours = socket.socket()
        ours.setblocking(False)
        await asyncio.get_running_loop().sock_connect(ours, self.address)
        await until(lambda: len(self.uvicorn.server_state.connections) > len(before))
        (protocol,) = self.uvicorn.server_state.connections - before
        open_ones = cast("set[Any]", self.uvicorn.server_state.connections)
        async with Client(cast("Any", protocol), ours, open_ones) as client:
            yield client

    def stop(self) -> None:
        self.uvicorn.should_exit = True


@asynccontextmanager
async def open_server(
    models_dir: Path, *, plain: bool = False, **settings: Any
) -> AsyncGenerator[Server]:
    """Serve on a free port until the block ends.

    Args:
        models_dir: Folder of bundles.
        plain: Serve with uvicorn's own connections, which know ASGI alone.
        settings: Of the service.
    """
    chosen = quiet_settings(models_dir, **settings)
    service = create_service(chosen)
    config = server_config(chosen, service)
    server = uvicorn.Server(config) if plain else Worker(config, service)
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve([listener]))
    await until(
        lambda: running.done() or (server.started and not service.reconciler.catalog.loading)
    )
    try:
        yield Server(service, server, listener.getsockname())
    finally:
        server.should_exit = True
        await running


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds; the test's own time limit is the only one."""
    while not holds():  # noqa: ASYNC110  # whatever it is, it can only be asked
        await asyncio.sleep(0.001)


def request(
    body: bytes = b"",
    path: str = "/encode",
    method: str = "POST",
    version: str = "1.1",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Write a request in one piece, with the length of its body unless the headers say it."""
    fields = {"Host": "latentserve", "Content-Length": str(len(body)), **(headers or {})}
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *lines, "", ""]).encode() + body


def chunks(*pieces: bytes) -> bytes:
    """Write a chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
