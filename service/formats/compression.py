"""Compressed bytes: read within a limit, and written where that is worth its time."""

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from service.errors import BodyTooLarge, MalformedBody

MIN_COMPRESSED_BYTES = 32 * 1024
"""Bytes from which a response is compressed.

Measured on one core, reconstructions of mnist-stacked as JSON: the text of one row (9.5 kB) takes
0.03 ms with gzip, which is half of what the request costs; of 16 rows (200 kB) 1.0 ms with gzip and
0.3 ms with zstd, against 1.2 ms that the bytes saved take on a line of 1 Gbit/s. At and above this
limit the gain is a share of the time, below it, at most a few packets.
"""

# Measured on the same text of 1,000 rows, 12.6 MB: gzip levels 1, 2, 4 and 6 leave 27, 26, 24 and
# 22 % and take 63, 76, 122 and 252 ms; zstd levels 1 and 3 leave 21 and 22 % and take 21 and 35 ms.
_GZIP_LEVEL = 1
_ZSTD_LEVEL = 1

_PIECE_BYTES = 64 * 1024
_MAX_GZIP_MEMBERS = 1000  # each costs a copy of what is left of a piece
_GZIP_WINDOW, _ZLIB_WINDOW, _RAW_WINDOW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_MAX_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024  # RFC 9659: what a recipient has to have


class Compression(NamedTuple):
    """One way to compress.

    Attributes:
        decompress: Takes bytes and the number of bytes that may come of them.
        compress: The other direction; None where it is only read.
        is_fast: Whether it is worth its time for numbers that are not text.
    """

    decompress: Callable[[bytes, int], bytes]
    compress: Callable[[Any], bytes] | None = None
    is_fast: bool = False


def read_gzip(body: bytes, max_bytes: int) -> bytes:
    """Decompress gzip, of one or several members.

    Args:
        body: Compressed bytes.
        max_bytes: Bytes that may come of them; no more are decompressed.

    Raises:
        MalformedBody: They are damaged, not complete, or followed by something else.
        BodyTooLarge: More bytes come of them.

    Source: RFC 1952.
    """
    view, position = memoryview(body), 0
    pieces: list[bytes] = []
    length = 0
    for _ in range(_MAX_GZIP_MEMBERS):
        member = zlib.decompressobj(_GZIP_WINDOW)
        while not member.eof:
            piece = view[position : position + _PIECE_BYTES]
            if not piece:
                raise _damaged("gzip")
            pieces.append(_inflate(member, piece, max_bytes - length, "gzip"))
            length += len(pieces[-1])
            _check_length(length, max_bytes)
            position += len(piece) - len(member.unused_data)
        if position == len(body):
            return b"".join(pieces)
    raise MalformedBody(f"the gzip body has more than {_MAX_GZIP_MEMBERS} members")


def read_deflate(body: bytes, max_bytes: int) -> bytes:
    """Decompress deflate, in zlib's format or, as some clients send it, without; see ``read_gzip``.

    Source: RFC 9110, section 8.4.1.2.
    """
    is_zlib = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    try:
        return _read_deflate(body, max_bytes, _ZLIB_WINDOW if is_zlib else _RAW_WINDOW)
    except MalformedBody:
        if not is_zlib:
            raise
        return _read_deflate(body, max_bytes, _RAW_WINDOW)


def _read_deflate(body: bytes, max_bytes: int, window: int) -> bytes:
    stream = zlib.decompressobj(window)
    content = _inflate(stream, body, max_bytes, "deflate")
    _check_length(len(content), max_bytes)
    if not stream.eof or stream.unused_data:
        raise _damaged("deflate")
    return content


def read_zstd(body: bytes, max_bytes: int) -> bytes:
    """Decompress zstd, of one frame; see ``read_gzip``.

    Source: RFC 8878; RFC 9659 for the size of the window.
    """
    import zstandard  # noqa: PLC0415  # few requests need it

    reader = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW_BYTES)
    try:
        stated = zstandard.frame_content_size(body)
        if stated >= 0:
            _check_length(stated, max_bytes)
            return reader.decompress(body, allow_extra_data=False)
        # Not stated: the first pass counts, since only the second sees where the frame ends.
        with reader.stream_reader(body) as counted:
            _check_length(len(counted.read(max_bytes + 1)), max_bytes)
        frame = reader.decompressobj()
        content = frame.decompress(body)
    except zstandard.ZstdError as error:
        raise _damaged("zstd") from error
    if not frame.eof or frame.unused_data:
        raise _damaged("zstd")
    return content


def write_gzip(content: bytes | memoryview) -> bytes:
    """Compress with gzip."""
    stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return stream.compress(content) + stream.flush()


def write_zstd(content: bytes | memoryview) -> bytes:
    """Compress with zstd."""
    import zstandard  # noqa: PLC0415  # few requests need it

    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(content)


def _inflate(stream: Any, piece: bytes | memoryview, room: int, name: str) -> bytes:
    """Decompress at most one byte more than there is room for."""
    try:
        return stream.decompress(piece, room + 1)
    except zlib.error as error:
        raise _damaged(name) from error


def _check_length(length: int, max_bytes: int) -> None:
    if length > max_bytes:
        raise BodyTooLarge(f"decompressed, the body is above the limit of {max_bytes} bytes")


def _damaged(name: str) -> MalformedBody:
    return MalformedBody(f"the body is not complete {name} data with nothing behind it")


COMPRESSIONS: dict[str, Compression] = {
    "gzip": Compression(read_gzip, write_gzip),
    "deflate": Compression(read_deflate),
    "zstd": Compression(read_zstd, write_zstd, is_fast=True),
}
"""By the names of RFC 9110 and 8878."""
