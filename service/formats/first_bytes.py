"""What a file is, told by its first bytes."""

from typing import NamedTuple

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
NPY = b"\x93NUMPY"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_PICTURE = "send PNG or JPEG"
_COMPRESSED = "send Content-Encoding: {} with it"
_HEIF_BRANDS = (b"heic", b"heix", b"heif", b"hevc", b"mif1", b"msf1", b"avif", b"avis")


class FileKind(NamedTuple):
    """A kind of file.

    Attributes:
        name: With its article.
        advice: What to do with one, as the second half of a sentence.
        media_type: The media type that reads it, if there is one.
    """

    name: str
    advice: str
    media_type: str | None = None


_KINDS: tuple[tuple[bytes, FileKind], ...] = (
    (PNG, FileKind("a PNG file", "send Content-Type: image/png", "image/png")),
    (JPEG, FileKind("a JPEG file", "send Content-Type: image/jpeg", "image/jpeg")),
    (NPY, FileKind("a .npy file", "send Content-Type: application/x-npy", "application/x-npy")),
    (
        b"\x89PNG",
        FileKind("a PNG file whose line ends were changed", "send its bytes: curl --data-binary"),
    ),
    (b"GIF8", FileKind("a GIF file", _PICTURE)),
    (b"BM", FileKind("a BMP file", _PICTURE)),
    (b"II*\0", FileKind("a TIFF file", _PICTURE)),
    (b"MM\0*", FileKind("a TIFF file", _PICTURE)),
    (b"\0\0\0\x0cjP  ", FileKind("a JPEG 2000 file", _PICTURE)),
    (b"\xff\x0a", FileKind("a JPEG XL file", _PICTURE)),
    (b"\0\0\0\x0cJXL ", FileKind("a JPEG XL file", _PICTURE)),
    (b"<svg", FileKind("an SVG file", _PICTURE)),
    (b"%PDF", FileKind("a PDF file", _PICTURE)),
    (b"PK\x03\x04", FileKind("a ZIP file, such as .npz", "send one array as .npy")),
    (b"\x89HDF", FileKind("an HDF5 file", "send an array as .npy")),
    (b"\x1f\x8b", FileKind("compressed with gzip", _COMPRESSED.format("gzip"))),
    (b"\x28\xb5\x2f\xfd", FileKind("compressed with zstd", _COMPRESSED.format("zstd"))),
    (b"\xff\xfe", FileKind("text in UTF-16", "send UTF-8")),
    (b"\xfe\xff", FileKind("text in UTF-16", "send UTF-8")),
    (b"<", FileKind("HTML or XML", "send JSON, a .npy file, PNG or JPEG")),
)
_WEBP = FileKind("a WebP file", _PICTURE)
_HEIF = FileKind("a HEIC or AVIF file", _PICTURE)


def kind_of(body: bytes) -> FileKind | None:
    """Return the kind of a file; None when its first bytes do not tell.

    Example:
        >>> kind_of(b"GIF89a...").name
        'a GIF file'
    """
    for prefix, kind in _KINDS:
        if body.startswith(prefix):
            return kind
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return _WEBP
    if body[4:8] == b"ftyp" and body[8:12] in _HEIF_BRANDS:
        return _HEIF
    return None
