"""Chunked bodies are taken apart rightly however they are cut, and cost no more than they may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.http1.chunked_body import MAX_CHUNKS, ChunkedBody
from service.errors import HeadTooLarge, MalformedBody

MAX_TRAILER_BYTES = 1000


def read(*pieces: bytes) -> tuple[bytes, bytes, ChunkedBody]:
    """Feed pieces; return the content, what lies behind the body, and the body."""
    body = ChunkedBody(MAX_TRAILER_BYTES)
    content, behind = b"", b""
    for piece in pieces:
        position = 0
        while position < len(piece) and not body.is_complete:
            position = body.feed(piece, position)
        content += b"".join(body.take_content())
        behind += piece[position:]
    return content, behind, body


@st.composite
def cut_bodies(draw: st.DrawFn) -> tuple[bytes, bytes, list[bytes]]:
    """Return a content, what follows its body, and both in pieces."""
    chunks = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    extension = draw(st.sampled_from([b"", b";a=b", b' ; quoted="x;y"', b"  "]))
    trailers = draw(st.sampled_from([b"", b"X-Sum: 1\r\n", b"A: b\r\nC:\r\n"]))
    behind = draw(st.sampled_from([b"", b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"0\r\n\r\n"]))
    sizes = draw(st.sampled_from([b"%x", b"%X", b"000%x"]))
    lines = [sizes % len(chunk) + extension + b"\r\n" + chunk + b"\r\n" for chunk in chunks]
    data = b"".join(lines) + b"0" + extension + b"\r\n" + trailers + b"\r\n" + behind
    places = sorted(draw(st.sets(st.integers(1, len(data)), max_size=8)) | {len(data)})
    pieces = [data[first:last] for first, last in zip([0, *places], places, strict=False)]
    return b"".join(chunks), behind, pieces


@given(cut_bodies())
def test_the_content_is_what_was_cut_into_chunks(
    case: tuple[bytes, bytes, list[bytes]],
) -> None:
    expected, behind, pieces = case

    content, rest, body = read(*pieces)

    assert (content, rest, body.is_complete) == (expected, behind, True)


def test_a_position_before_the_body_is_skipped() -> None:
    body = ChunkedBody(MAX_TRAILER_BYTES)

    assert body.feed(b"head3", 4) == 5
    assert body.feed(b"\r\nabc\r\n0\r\n\r\nbehind", 0) == 12
    assert body.take_content() == [b"abc"]
    assert body.is_complete


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\na\r\n",
        b"1 1\r\na\r\n",
        b"\r\n",
        b"3\nabc",
        b"3\rabc",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n0\r\n",
        b"3\r\nabc\rX",
        b"1;a\x00b\r\na\r\n",
        b"1;" + b"a" * 2000,
        b"f" * 16 + b"\r\n",
    ],
)
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        with pytest.raises(MalformedBody):
            read(*pieces)


def test_trailers_are_dropped_up_to_their_limit() -> None:
    content, behind, _ = read(b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 160 + b"\r\nnext")

    assert (content, behind) == (b"a", b"next")


@pytest.mark.parametrize("line", [b"X: y\n", b"X: y\rz", b"\n", b"X\0: y"])
@pytest.mark.parametrize("size", [1, 1000])
def test_trailers_in_which_others_may_see_an_end_are_refused(line: bytes, size: int) -> None:
    data = b"0\r\n" + line + b"\r\nGET /smuggled HTTP/1.1\r\n\r\n"
    with pytest.raises(MalformedBody):
        read(*[data[at : at + size] for at in range(0, len(data), size)])


@pytest.mark.parametrize("trailers", [b"X: y\r\n" * 200, b"x" * 1100], ids=["many", "long"])
@pytest.mark.parametrize("size", [1, 50, 5000])
def test_trailers_without_end_are_refused(trailers: bytes, size: int) -> None:
    data = b"0\r\n" + trailers
    with pytest.raises(HeadTooLarge, match="more than 1000 bytes"):
        read(*[data[at : at + size] for at in range(0, len(data), size)])


def test_a_body_has_so_many_chunks_and_no_more() -> None:
    body = ChunkedBody(MAX_TRAILER_BYTES)
    data, position = b"1\r\na\r\n" * MAX_CHUNKS, 0
    while position < len(data):  # many are taken a part at a time
        position = body.feed(data, position)

    assert len(body.take_content()) == MAX_CHUNKS
    with pytest.raises(MalformedBody, match=f"more than {MAX_CHUNKS} chunks"):
        body.feed(b"1\r\na\r\n", 0)
