"""What is done with memory before requests come; what lives for ever is no garbage."""

import contextlib
import ctypes
import gc
from collections.abc import Generator

# A request leaves few cycles behind. With CPython's own thresholds (700, 10, 10) the collector
# looks at young objects several times a request under load.
_COLLECT_AFTER = (50_000, 20, 50)

# Parameters of mallopt(3), and bytes. By default glibc gives memory back to the system as soon as
# a large body has been answered, and has every page of it zeroed again for the next one: 350 page
# faults for 64 JSON rows of 784 numbers, a tenth to a quarter of the time they take. simdjson asks
# for eight times the length of a body.
_TRIM_THRESHOLD, _MAX_KEPT_BYTES = -1, 16 * 1024 * 1024
_MMAP_THRESHOLD, _MAX_KEPT_ALLOCATION_BYTES = -3, 16 * 1024 * 1024


@contextlib.contextmanager
def exempt_from_collection() -> Generator[None]:
    """Keep the garbage collector away from what is made in a block, then and ever after.

    For imports: of 90,000 objects that the service's make, 700 are garbage. Looking for them takes
    a quarter of the time until the service is ready.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def freeze_after_startup() -> None:
    """Exempt everything that has been loaded from garbage collection, and collect rarely.

    Memory that loading has freed goes back to the system; what a request has used is kept for the
    next one, up to 16 MiB.

    Modules, schemas and models live as long as the process: walking through them again and again
    only makes requests wait, and in a forked process copies the pages they lie on.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    with contextlib.suppress(AttributeError):  # another C library than glibc
        allocator = ctypes.CDLL(None)
        allocator.malloc_trim(0)  # 46 of 156 MiB with eight small models
        allocator.mallopt(_TRIM_THRESHOLD, _MAX_KEPT_BYTES)
        allocator.mallopt(_MMAP_THRESHOLD, _MAX_KEPT_ALLOCATION_BYTES)
