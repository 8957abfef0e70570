"""Memory that the C library keeps, given back to the system."""

import contextlib
import ctypes


def trim_heap() -> None:
    """Give the system back what has been freed.

    glibc keeps freed pages for later, so swapping eight small bundles 60 times took a process from
    118 to 259 MiB and more; with this after each swap it stayed at 118.
    """
    with contextlib.suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
