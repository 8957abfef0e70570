"""Compressed bodies: what is read, what is damaged, and what a bomb costs."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from service.errors import BodyTooLarge, MalformedBody, RequestError
from service.formats.compression import COMPRESSIONS

LIMIT = 100_000


def raw_deflate(content: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(content) + stream.flush()


def zstd_without_size(content: bytes) -> bytes:
    stream = zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compressobj()
    return stream.compress(content) + stream.flush()


def two_members(content: bytes) -> bytes:
    return gzip.compress(content[:7]) + gzip.compress(content[7:])


WRITERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip of two members": ("gzip", two_members),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "zstd without its size": ("zstd", zstd_without_size),
}
ways = pytest.mark.parametrize(("coding", "compress"), WRITERS.values(), ids=WRITERS.keys())


@ways
@given(content=st.binary(max_size=2000))
def test_what_was_compressed_is_read(
    coding: str, compress: Callable[[bytes], bytes], content: bytes
) -> None:
    assert COMPRESSIONS[coding].decompress(compress(content), LIMIT) == content


@ways
def test_more_bytes_than_one_piece_are_read(
    coding: str, compress: Callable[[bytes], bytes]
) -> None:
    content = b"".join(b"%d," % (number * number) for number in range(100_000))

    assert COMPRESSIONS[coding].decompress(compress(content), len(content)) == content


@ways
def test_a_body_of_the_limit_is_read_and_one_byte_more_rejected(
    coding: str, compress: Callable[[bytes], bytes]
) -> None:
    decompress = COMPRESSIONS[coding].decompress

    assert decompress(compress(bytes(LIMIT)), LIMIT) == bytes(LIMIT)
    with pytest.raises(BodyTooLarge, match="decompressed, the body is above the limit of 100000"):
        decompress(compress(bytes(LIMIT + 1)), LIMIT)


@ways
def test_a_bomb_takes_no_more_memory_than_its_limit(
    coding: str, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(bytes(200_000_000))
    limit = 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            COMPRESSIONS[coding].decompress(bomb, limit)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * limit


@ways
@given(data=st.data())
def test_a_truncated_body_is_rejected(
    coding: str, compress: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    content = b"row after row after row"
    body = compress(content)
    kept = data.draw(st.integers(1, len(body) - 1))
    assume(body[:kept] != gzip.compress(content[:7]))  # the first of two members is complete

    with pytest.raises(MalformedBody, match=f"not complete {coding} data"):
        COMPRESSIONS[coding].decompress(body[:kept], LIMIT)


@ways
@pytest.mark.parametrize("rest", [b"x", bytes(8), b"rest of it"])
def test_what_stands_behind_it_is_rejected(
    coding: str, compress: Callable[[bytes], bytes], rest: bytes
) -> None:
    with pytest.raises(MalformedBody, match="with nothing behind it"):
        COMPRESSIONS[coding].decompress(compress(b"rows") + rest, LIMIT)


@pytest.mark.parametrize("coding", COMPRESSIONS)
@given(body=st.binary(min_size=1, max_size=100))
def test_whatever_bytes_come_they_are_read_or_rejected(coding: str, body: bytes) -> None:
    with suppress(RequestError):
        assert len(COMPRESSIONS[coding].decompress(body, LIMIT)) <= LIMIT


def test_very_many_members_are_rejected() -> None:
    with pytest.raises(MalformedBody, match="more than 1000 members"):
        COMPRESSIONS["gzip"].decompress(gzip.compress(b"") * 1001, LIMIT)


def test_a_window_that_takes_much_memory_is_rejected() -> None:
    stream = BytesIO()
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(
        stream, closefd=False
    ) as writer:
        writer.write(bytes(LIMIT))

    with pytest.raises(MalformedBody):
        COMPRESSIONS["zstd"].decompress(stream.getvalue(), LIMIT)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@given(content=st.binary(max_size=2000))
def test_what_is_written_is_read(coding: str, content: bytes) -> None:
    compression = COMPRESSIONS[coding]
    assert compression.compress

    assert compression.decompress(compression.compress(memoryview(content)), LIMIT) == content
