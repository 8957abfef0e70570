"""The structure of JPEG files."""

import re

from service.errors import MalformedBody
from service.formats.picture_files.exif import orientation_in
from service.formats.picture_files.picture_file import PictureFile, incomplete

# A marker; any number of fill bytes may stand in front of it.
_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
# The end of entropy-coded data: any marker but one of those that stand within the data.
_AFTER_DATA = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_END, _SCAN = 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_CONTENT = frozenset((0x01, *range(0xD0, 0xD9)))
_APPLICATION = range(0xE0, 0xF0)
_COMMENT = 0xFE
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE  # the first and the last say what the components are
_EXIF_MARKER = b"Exif\0\0"
_MAX_SCANS = 100  # a progressive picture has about ten; each goes over all pixels
_CMYK = 4


def read_jpeg_file(body: bytes) -> PictureFile:
    """Read the structure of a JPEG file.

    Args:
        body: The file, whose signature has been seen. What follows its first picture is ignored.

    Raises:
        MalformedBody: It is damaged, or of a kind that is not read: CMYK, or not of 8 bits a
            sample.

    Source: ITU-T T.81, annex B; EXIF 2.32, section 4.7.2.
    """
    kept = [body[:2]]
    size: tuple[int, int] | None = None
    orientation: int | None = None
    scans, position, code = 0, 2, 0
    while code != _END:
        marker = _MARKER.match(body, position)
        if marker is None:
            raise incomplete("JPEG")
        code, start = marker[1][0], marker.end() - 2
        position = marker.end()
        if code != _END and code not in _WITHOUT_CONTENT:
            position += int.from_bytes(body[position : position + 2], "big")
            if position < start + 4 or position > len(body):
                raise incomplete("JPEG")
        content = body[start + 4 : position]
        if code in _FRAMES and size is None:
            size = _read_frame(content)
        elif code == _EXIF and orientation is None and content.startswith(_EXIF_MARKER):
            orientation = orientation_in(content[len(_EXIF_MARKER) :])
        elif code == _SCAN:
            scans += 1
            position = _end_of_data(body, position, scans)
        if code in (_JFIF, _ADOBE) or (code not in _APPLICATION and code != _COMMENT):
            kept.append(body[start:position])
    if size is None or not scans:
        raise incomplete("JPEG")
    return PictureFile(
        kind="JPEG",
        width=size[0],
        height=size[1],
        pixels=b"".join(kept),
        orientation=orientation or 1,
    )


def _read_frame(content: bytes) -> tuple[int, int]:
    """Return width and height."""
    if len(content) < 6:
        raise incomplete("JPEG")
    bits, components = content[0], content[5]
    height, width = (int.from_bytes(content[at : at + 2], "big") for at in (1, 3))
    if bits != 8:
        raise MalformedBody(f"the JPEG has {bits} bits a sample; 8 are read")
    if components == _CMYK:
        raise MalformedBody("the JPEG is in CMYK, which is not read; send RGB or gray")
    if components not in (1, 3) or not width or not height:
        raise incomplete("JPEG")
    return width, height


def _end_of_data(body: bytes, position: int, scans: int) -> int:
    following = _AFTER_DATA.search(body, position)
    if following is None:
        raise incomplete("JPEG")
    if scans > _MAX_SCANS:
        raise MalformedBody(f"the JPEG has more than {_MAX_SCANS} scans; save it as a plain one")
    return following.start()
