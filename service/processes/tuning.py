"""Garbage-collector and malloc tuning."""

import contextlib
import ctypes
import gc
from collections.abc import Generator

from service.catalog.memory import trim_heap

# A request leaves few cycles behind. With CPython's own thresholds (700, 10, 10) the collector runs
# several times a request under load.
_COLLECT_AFTER = (50_000, 20, 50)

# Parameters of mallopt(3), and bytes. By default glibc gives memory back to the system as soon as a
# large body has been answered, and the system zeroes every page of it for the next one: 350 page
# faults for 64 JSON rows of 784 numbers, a tenth to a quarter of the time they take. simdjson takes
# eight times the length of a body.
_TRIM_THRESHOLD, _MAX_KEPT_BYTES = -1, 16 * 1024 * 1024
_MMAP_THRESHOLD, _MAX_KEPT_ALLOCATION_BYTES = -3, 16 * 1024 * 1024


@contextlib.contextmanager
def exempt_from_collection() -> Generator[None]:
    """Exempt the objects that are made in a block from garbage collection, for good.

    For imports: of 90,000 objects that the service's imports make, 700 are garbage. Looking for
    them takes a quarter of the time until the service is ready.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def freeze_after_startup() -> None:
    """Exempt everything that has been loaded from garbage collection, and collect rarely.

    Memory that loading has freed is given back to the system; what a request has used is kept for
    the next one, up to 16 MiB.

    Modules, schemas and the models of the start are kept as long as the process runs, or freed by
    their reference counts: to look through them again and again makes requests wait, and in a
    forked process copies their pages.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    trim_heap()  # 46 of 156 MiB with eight small models
    with contextlib.suppress(AttributeError):  # another C library than glibc
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_TRIM_THRESHOLD, _MAX_KEPT_BYTES)
        allocator.mallopt(_MMAP_THRESHOLD, _MAX_KEPT_ALLOCATION_BYTES)
