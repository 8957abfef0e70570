"""The structure of PNG files."""

import struct
import zlib

from service.errors import MalformedBody
from service.formats.first_bytes import PNG
from service.formats.picture_files.exif import orientation_in
from service.formats.picture_files.picture_file import PictureFile, incomplete

_CHUNK_HEAD = struct.Struct(">I4s")
_OVERHEAD = 12  # length, name and checksum
_HEADER = struct.Struct(">IIBBBBB")
_READ_ONCE = (b"IHDR", b"PLTE", b"tRNS", b"sBIT", b"eXIf", b"acTL")
_GRAY, _RGB, _PALETTE, _RGBA = 0, 2, 3, 6
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_EXIF_MARKER = b"Exif\0\0"


def read_png_file(body: bytes) -> PictureFile:
    """Read the structure of a PNG file.

    Args:
        body: The file, whose signature has been seen. What follows its end is ignored.

    Raises:
        MalformedBody: It is damaged, or of a kind that is not read: animated, or of 16 bits a
            sample with colors or alpha.

    Source: PNG specification, third edition.
    """
    chunks, pixel_chunks = _chunks(body)
    width, height, bits, color_type, *_ = _header(chunks)
    if int.from_bytes(chunks.get(b"acTL", b"")[:4], "big") > 1:
        raise MalformedBody("the picture is an animated PNG; send one picture")
    if bits == 16 and color_type != _GRAY:
        raise MalformedBody(
            "the PNG has colors or alpha of 16 bits a sample, which are not read; send 8 bits a"
            " sample, or gray without alpha"
        )
    palette = chunks.get(b"PLTE") if color_type == _PALETTE else None
    transparency = chunks.get(b"tRNS")
    _check_colors(color_type, palette, transparency)
    kept = [_chunk(b"IHDR", chunks[b"IHDR"])]
    if palette is not None:
        kept.append(_chunk(b"PLTE", palette))
    exif = chunks.get(b"eXIf", b"").removeprefix(_EXIF_MARKER)
    return PictureFile(
        kind="PNG",
        width=width,
        height=height,
        pixels=b"".join([PNG, *kept, *pixel_chunks]),
        orientation=orientation_in(exif),
        bits=bits,
        significant_bits=_significant_bits(chunks.get(b"sBIT", b""), color_type),
        palette=palette,
        transparency=transparency,
    )


def _chunks(body: bytes) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Return the contents of the chunks that are read, and the whole chunks that hold pixels."""
    contents: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    position, end = len(PNG), len(body)
    name = b""
    while name != b"IEND":
        if position + _OVERHEAD > end:
            raise incomplete("PNG")
        length, name = _CHUNK_HEAD.unpack_from(body, position)
        following = position + _OVERHEAD + length
        if following > end:
            raise incomplete("PNG")
        if name in (b"IDAT", b"IEND"):
            pixels.append(body[position:following])
        elif name in _READ_ONCE:
            content = body[position + 8 : following - 4]
            checksum = int.from_bytes(body[following - 4 : following], "big")
            if name in contents or zlib.crc32(content, zlib.crc32(name)) != checksum:
                raise incomplete("PNG")
            contents[name] = content
        position = following
    return contents, pixels


def _header(chunks: dict[bytes, bytes]) -> tuple[int, ...]:
    header = chunks.get(b"IHDR", b"")
    if len(header) != _HEADER.size:
        raise incomplete("PNG")
    values = _HEADER.unpack(header)
    if 0 in values[:2] or values[2] not in _DEPTHS.get(values[3], ()):
        raise incomplete("PNG")
    return values


def _check_colors(color_type: int, palette: bytes | None, transparency: bytes | None) -> None:
    if color_type == _PALETTE and (not palette or len(palette) % 3 or len(palette) > 768):
        raise incomplete("PNG")
    if transparency is None:
        return
    lengths = {_GRAY: 2, _RGB: 6}
    if color_type == _PALETTE:
        is_valid = len(transparency) <= len(palette or b"") // 3
    else:
        is_valid = len(transparency) == lengths.get(color_type)
    if not is_valid:
        raise incomplete("PNG")


def _significant_bits(content: bytes, color_type: int) -> int | None:
    return content[0] if color_type == _GRAY and len(content) == 1 else None


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(name))
    return b"".join((_CHUNK_HEAD.pack(len(content), name), content, checksum.to_bytes(4, "big")))
