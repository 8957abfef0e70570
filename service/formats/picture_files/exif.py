"""The orientation of a picture in its EXIF data."""

import struct

_ORIENTATION = 0x0112
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_SHORT, _LONG = 3, 4
_ENTRY_BYTES = 12


def orientation_in(data: bytes) -> int:
    """Return how a picture is to be turned, 1 (not at all) to 8.

    Damaged data, and values that EXIF does not define, turn nothing.

    Args:
        data: A TIFF structure: EXIF data without the marker in front of it.

    Source: EXIF 2.32, section 4.6.2, and TIFF 6.0, section 2.
    """
    order = _BYTE_ORDERS.get(data[:4])
    if order is None or len(data) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", data, 4)
    if start + 2 > len(data):
        return 1
    (entries,) = struct.unpack_from(order + "H", data, start)
    first = start + 2
    last = min(first + entries * _ENTRY_BYTES, len(data) - _ENTRY_BYTES + 1)
    for place in range(first, last, _ENTRY_BYTES):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        if tag == _ORIENTATION and kind in (_SHORT, _LONG):
            (value,) = struct.unpack_from(order + "HI"[kind == _LONG], data, place + 8)
            return value if 1 <= value <= 8 else 1
    return 1
