"""The head of a request as it came from a socket."""

import contextlib
from dataclasses import dataclass

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from service.api.dialects.dialect import Head

END_OF_HEAD = b"\r\n\r\n"


@dataclass(slots=True)
class RequestHead(Head):
    """The request line and the headers of one request.

    Attributes:
        path: Path of the URL as it was written, undecoded.
        keep_alive: Whether the connection is kept after the response.
    """

    path: str
    keep_alive: bool

    @property
    def is_usual(self) -> bool:
        """Whether its length frames the body, and its client waits for nothing but a response."""
        return b"transfer-encoding" not in self.headers and b"expect" not in self.headers

    @property
    def body_bytes(self) -> int:
        """Length of the body that follows, where the head is usual."""
        return int(self.headers.get(b"content-length", b"0"))


def read_head(data: bytes) -> RequestHead | None:
    """Read a head.

    A parser of its own reads nothing but these bytes: what follows them can only be a body, whose
    length the head says, or the next request. That a client offers another protocol is ignored,
    as RFC 9110, section 7.8, allows.

    Args:
        data: The head, with its empty line and nothing behind it.

    Returns:
        None for what is not the head of a request.
    """
    reader = _Reader()
    parser = reader.parser = HttpRequestParser(reader)
    try:
        with contextlib.suppress(HttpParserUpgrade):
            parser.feed_data(data)
    except HttpParserError:
        return None
    finally:
        reader.parser = None  # else both would be garbage that only the collector frees
    if not reader.is_complete:
        return None
    path, _, query_string = reader.url.partition(b"?")
    return RequestHead(
        parser.get_method().decode("ascii"),
        query_string,
        reader.headers,
        path.decode("latin-1"),
        reader.keep_alive and parser.get_http_version() != "1.0",
    )


class PartialHead:
    """The beginning of a head, kept until the rest has come.

    It is parsed as it comes, so that what cannot become a head is noticed at once.

    Attributes:
        is_malformed: Whether it cannot become a head.
        is_whole: Whether the whole head has come.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.is_malformed = False
        self.is_whole = False
        self._bytes = bytearray()
        self._parser = HttpRequestParser(object())

    @property
    def content(self) -> bytes:
        """Everything that has come."""
        return bytes(self._bytes)

    def __len__(self) -> int:
        """Count the bytes that have come."""
        return len(self._bytes)

    def add(self, data: bytes) -> None:
        """Take what has come."""
        searched = max(0, len(self._bytes) - len(END_OF_HEAD) + 1)
        self._bytes += data
        self.is_whole = self._bytes.find(END_OF_HEAD, searched) >= 0
        try:
            with contextlib.suppress(HttpParserUpgrade):
                self._parser.feed_data(data)
        except HttpParserError:
            self.is_malformed = not self.is_whole


class _Reader:
    """Takes what a parser finds in a head."""

    __slots__ = ("headers", "is_complete", "keep_alive", "parser", "url")

    def __init__(self) -> None:
        self.parser: HttpRequestParser | None = None
        self.keep_alive = False
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # The parser leaves the blanks behind a value to it (RFC 9110, section 5.5).
        self.headers[name.lower()] = value.rstrip(b" \t")

    def on_headers_complete(self) -> None:
        self.is_complete = True
        # Behind a request without a body the parser has forgotten it.
        self.keep_alive = self.parser is not None and self.parser.should_keep_alive()

    def on_body(self, _: bytes) -> None:
        self.is_complete = False  # the parser saw an end of the head before the last bytes
