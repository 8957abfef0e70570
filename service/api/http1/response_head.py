"""The head of a response as it goes to a socket."""

from collections.abc import Iterable
from http import HTTPStatus

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""Asks a client for the body that it has announced."""
CLOSE = b"connection: close\r\n"
"""Says that the connection ends with the response."""
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


def write_head(
    status: int,
    default_headers: Iterable[tuple[bytes, bytes]],
    headers: Iterable[tuple[bytes, bytes]],
    framing: bytes,
) -> bytes:
    """Write status line and headers, with the empty line behind them.

    Headers are written as they are: the service made every one of them.

    Args:
        status: HTTP status.
        default_headers: What the server adds to every response, such as the date.
        headers: The response's own.
        framing: Header lines that say where the body ends, and what becomes of the connection.
    """
    pieces = [_STATUS_LINES[status]]
    for name, value in (*default_headers, *headers):
        pieces += (name, b": ", value, b"\r\n")
    pieces += (framing, b"\r\n")
    return b"".join(pieces)
