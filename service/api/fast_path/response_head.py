"""The head of a response as it goes to a socket."""

from collections.abc import Iterable
from http import HTTPStatus

from service.api.pipeline import Reply

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


def write_head(
    reply: Reply, default_headers: Iterable[tuple[bytes, bytes]], *, keep_alive: bool
) -> bytes:
    """Write status line and headers, with the empty line behind them.

    Headers are written as they are: the service made every one of them.

    Args:
        reply: The response.
        default_headers: What the server adds to every response, such as the date.
        keep_alive: Whether the connection is kept; if not, the head says so.
    """
    pieces = [_STATUS_LINES[reply.status]]
    for name, value in (*default_headers, *reply.headers):
        pieces += (name, b": ", value, b"\r\n")
    pieces.append(b"content-length: %d\r\n" % len(reply.body))
    if not keep_alive:
        pieces.append(b"connection: close\r\n")
    pieces.append(b"\r\n")
    return b"".join(pieces)
