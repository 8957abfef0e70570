"""A head is read as RFC 9110 and RFC 9112 say, and refused where it means two things."""

import pytest

from service.api.http1.request_head import MAX_HEAD_BYTES, read_head
from service.errors import (
    HeadTooLarge,
    MalformedHead,
    RequestError,
    UnsupportedTransferEncoding,
    UriTooLong,
)


def head(*lines: str, first: str = "POST /encode HTTP/1.1", host: str = "Host: here") -> bytes:
    return "\r\n".join([first, *([host] if host else []), *lines, "", ""]).encode("latin-1")


def test_a_head_is_taken_apart() -> None:
    read = read_head(
        head(
            "Content-Length: 12",
            "Accept: a/b",
            "ACCEPT: c/d",
            "X-Odd: \t1 \t",
            "Expect: 100-Continue",
        )
    )

    assert (read.method, read.path, read.query_string, read.version) == (
        "POST", "/encode", b"", "1.1",
    )  # fmt: skip
    assert read.headers == {
        b"host": b"here",
        b"content-length": b"12",
        b"accept": b"a/b, c/d",
        b"x-odd": b"1",
        b"expect": b"100-Continue",
    }
    assert [name for name, _ in read.fields].count(b"accept") == 2
    assert (read.body_bytes, read.is_chunked, read.expects_continue) == (12, False, True)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/encode?model=a&x=%20", "/encode", b"model=a&x=%20"),
        ("/a%20b", "/a%20b", b""),
        ("//double?", "//double", b""),
        ("/encode?a?b", "/encode", b"a?b"),
        ("http://elsewhere:80/encode?q", "/encode", b"q"),
        ("http://elsewhere", "/", b""),
    ],
)
def test_a_target_is_split_into_path_and_query(target: str, path: str, query: bytes) -> None:
    read = read_head(head(first=f"GET {target} HTTP/1.1"))

    assert (read.path, read.query_string) == (path, query)


@pytest.mark.parametrize(
    ("first", "lines", "kept"),
    [
        ("GET / HTTP/1.1", [], True),
        ("GET / HTTP/1.1", ["Connection: close"], False),
        ("GET / HTTP/1.1", ["Connection: keep-alive, close"], False),
        ("GET / HTTP/1.0", [], False),
        ("GET / HTTP/1.0", ["Connection: keep-alive"], True),
    ],
)
def test_a_connection_is_kept_where_its_client_says_so(
    first: str, lines: list[str], kept: bool
) -> None:
    assert read_head(head(*lines, first=first)).keep_alive is kept


@pytest.mark.parametrize(
    "raw",
    [
        head("Content-Length: 3", "Content-Length: 3"),
        head("Content-Length: 3", "Content-Length: 4"),
        head("Content-Length: 3, 3"),
        head("Content-Length: +3"),
        head("Content-Length: 0x3"),
        head("Content-Length:"),
        head("Content-Length: 99999999999999999999999"),
        head("Content-Length: 3", "Transfer-Encoding: chunked"),
        head("Transfer-Encoding: chunked", "Content-Length: 3"),
        head("Transfer-Encoding: chunked", first="POST / HTTP/1.0"),
        head(host=""),
        head("Host: there"),
        head("Content-Type: a/b", "Content-Type: c/d"),
        head("Authorization: a", "Authorization: b"),
        head("X-Shape: 1,2", "x-shape: 2,1"),
        head("Folded: a", " b"),
        head("No colon"),
        head("Blank : a"),
        head("Nul: a\0b"),
        head(first="POST /encode HTTP/1.2"),
        head(first="POST /encode HTTP/2.0"),
        head(first="POST /encode"),
        head(first="FETCH /encode HTTP/1.1"),
        head(first="nonsense"),
        b"GET / HTTP/1.1\nHost: here\n\n\r\n\r\n",
    ],
)  # fmt: skip
def test_a_head_that_means_nothing_or_two_things_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedHead) as refused:
        read_head(raw)

    assert "there" not in str(refused.value)


def test_the_same_value_twice_is_no_contradiction() -> None:
    read = read_head(head("Content-Type: a/b", "Content-Type: a/b"))

    assert read.headers[b"content-type"] == b"a/b"


@pytest.mark.parametrize("encoding", ["gzip", "gzip, chunked", "identity"])
def test_a_body_that_is_framed_otherwise_is_not_implemented(encoding: str) -> None:
    with pytest.raises(UnsupportedTransferEncoding):
        read_head(head(f"Transfer-Encoding: {encoding}"))


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (head(first=f"GET /{'x' * MAX_HEAD_BYTES} HTTP/1.1"), UriTooLong),
        (head(f"X-Long: {'x' * MAX_HEAD_BYTES}"), HeadTooLarge),
    ],
    ids=["the first line", "a header"],
)
def test_a_head_has_so_many_bytes_and_no_more(raw: bytes, kind: type[RequestError]) -> None:
    with pytest.raises(kind, match=str(MAX_HEAD_BYTES)):
        read_head(raw)


def test_an_offer_of_another_protocol_is_ignored() -> None:
    offer = "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"

    read = read_head(head("Content-Length: 2", *offer))

    assert read.body_bytes == 2
    assert read.keep_alive
