"""The head of a request as it came from a socket."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from httptools import (
    HttpParserError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
    parse_url,
)

from service.api.dialects.dialect import Head, join_fields
from service.api.problems import Headers
from service.errors import HeadTooLarge, MalformedHead, UnsupportedTransferEncoding, UriTooLong

END_OF_HEAD = b"\r\n\r\n"
MAX_HEADERS = 200
"""Headers of one request: thousands take longer to read than most bodies."""
MAX_HEAD_BYTES = 64 * 1024
"""Of the request line with all headers, and of the fields behind a chunked body."""


@dataclass(slots=True)
class RequestHead(Head):
    """The request line and the headers of one request.

    Attributes:
        path: Path of the URL as it was written, undecoded.
        fields: Every header in its order, its name in lower case.
        version: Of HTTP: ``1.1``.
        keep_alive: Whether the connection is kept after the response.
        body_bytes: Length of the body, where its length frames it.
        is_chunked: Whether the body comes in chunks.
        expects_continue: Whether the client waits to be asked for the body.
    """

    path: str
    fields: Headers = field(default_factory=list[tuple[bytes, bytes]])
    version: str = "1.1"
    keep_alive: bool = True
    body_bytes: int = 0
    is_chunked: bool = False
    expects_continue: bool = False


def read_head(data: bytes) -> RequestHead:
    """Read a head.

    A parser of its own reads nothing but these bytes: what follows them can only be a body, or the
    next request. That a client offers another protocol is ignored, as RFC 9110, section 7.8,
    allows.

    Args:
        data: The head, with its empty line and nothing behind it.

    Raises:
        RequestError: It is not the head of a request, too long, or of one that cannot be framed.
    """
    check_length(data)
    if (headers := data.count(b"\n") - 2) > MAX_HEADERS:
        raise HeadTooLarge(f"the limit is {MAX_HEADERS} headers; this request has {headers}")
    reader = _Reader()
    parser = reader.parser = HttpRequestParser(reader)
    try:
        with contextlib.suppress(HttpParserUpgrade):
            parser.feed_data(data)
    except HttpParserError as error:
        _check_transfer_encoding(join_fields(reader.fields))
        raise MalformedHead(f"the request's head cannot be read: {error}") from error
    finally:
        reader.parser = None  # else both would be garbage that only the collector frees
    if not reader.is_complete:
        raise MalformedHead("this is not the head of an HTTP/1.1 request")
    version = parser.get_http_version()
    path, query_string = _split_url(reader.url, parser.get_method())
    headers = join_fields(reader.fields)
    _check(headers, reader.fields, version)
    return RequestHead(
        parser.get_method().decode("ascii"),
        query_string,
        headers,
        path,
        reader.fields,
        version,
        reader.keep_alive,
        int(headers.get(b"content-length", b"0")),
        b"transfer-encoding" in headers,
        version == "1.1" and headers.get(b"expect", b"").lower() == b"100-continue",
    )


def check_length(data: bytes) -> None:
    """Check what has come of a head.

    Raises:
        UriTooLong: Its first line alone has more bytes than are read.
        HeadTooLarge: All of it has.
    """
    if len(data) > MAX_HEAD_BYTES:
        is_first_line = data.find(b"\r\n", 0, MAX_HEAD_BYTES) < 0
        kind = UriTooLong if is_first_line else HeadTooLarge
        raise kind(f"the limit is {MAX_HEAD_BYTES} bytes")


def _split_url(url: bytes, method: bytes) -> tuple[str, bytes]:
    """Split a request target into its path, undecoded, and its query (RFC 9112, section 3.2)."""
    if url.startswith(b"/"):
        path, _, query_string = url.partition(b"#")[0].partition(b"?")
        return path.decode("latin-1"), query_string
    if url == b"*" or method == b"CONNECT":
        return url.decode("latin-1"), b""
    try:
        parsed = parse_url(url)
    except HttpParserInvalidURLError as error:
        raise MalformedHead("the request's target is neither a path nor a URL") from error
    return (parsed.path or b"/").decode("latin-1"), parsed.query or b""


def _check(headers: Mapping[bytes, bytes], fields: Headers, version: str) -> None:
    """Check what the parser leaves to its user (RFC 9112, sections 2.3, 3.2 and 6.1)."""
    if version not in ("1.0", "1.1"):
        raise MalformedHead("the request is not one of HTTP/1.1 or HTTP/1.0")
    _check_transfer_encoding(headers)
    if b"transfer-encoding" in headers and version == "1.0":
        raise MalformedHead("HTTP/1.0 does not define chunked bodies; send Content-Length")
    hosts = sum(name == b"host" for name, _ in fields)
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise MalformedHead(f"a request has one Host header; this one has {hosts}")


def _check_transfer_encoding(headers: Mapping[bytes, bytes]) -> None:
    if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
        raise UnsupportedTransferEncoding("the only Transfer-Encoding that is read is chunked")


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

    __slots__ = ("fields", "is_complete", "keep_alive", "parser", "url")

    def __init__(self) -> None:
        self.parser: HttpRequestParser | None = None
        self.keep_alive = False
        self.url = b""
        self.fields: Headers = []
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # The parser leaves the blanks behind a value to it (RFC 9110, section 5.5).
        self.fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_complete = True
        # Behind a request without a body the parser has forgotten it.
        self.keep_alive = self.parser is not None and self.parser.should_keep_alive()

    def on_body(self, _: bytes) -> None:
        self.is_complete = False  # the parser saw an end of the head before the last bytes
