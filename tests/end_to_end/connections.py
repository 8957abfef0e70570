"""Raw connections, for what no HTTP client would do."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.end_to_end.servers import START_SECONDS, Server


@dataclass(frozen=True)
class Answer:
    """One answer as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One TCP connection to a server."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection((server.host, server.port), START_SECONDS)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._socket.sendall(piece)

    def receive(self) -> Answer:
        """Read one answer; raises ConnectionError when there is none."""
        status_line = self._line()
        headers: dict[str, str] = {}
        while line := self._line().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body = self._file.read(length)
        if len(body) < length:
            raise ConnectionError("the server closed the connection within an answer")
        return Answer(int(status_line.split()[1]), headers, body)

    def _line(self) -> str:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the server closed the connection")
        return line.decode()

    def is_closed_by_server(self) -> bool:
        """Wait until the server closes the connection, or answers something."""
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def request(
    body: bytes,
    *headers: str,
    path: str = "/encode",
    method: str = "POST",
    length: int | None = None,
) -> bytes:
    """Write a request in one piece; ``length`` is what it says of its body."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)
