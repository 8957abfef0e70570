"""What is done with memory once everything has been loaded and before requests come."""

import gc

# A request leaves few cycles behind. With CPython's own thresholds (700, 10, 10) the collector
# looks at young objects several times a request under load.
_COLLECT_AFTER = (50_000, 20, 50)


def settle_memory() -> None:
    """Exempt everything that has been loaded from garbage collection, and collect rarely.

    Modules, schemas and models live as long as the process: walking through them again and again
    only makes requests wait, and in a forked process copies the pages they lie on.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
