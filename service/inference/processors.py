"""How many processors this process may really use."""

import math
import os
from pathlib import Path

_CGROUP_V2_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def keep_libraries_single_threaded() -> None:
    """Keep NumPy's linear algebra from starting a thread for each of the host's processors.

    To be called before NumPy is imported. Requests run side by side on threads that are planned
    for; what NumPy computes for one of them is small. A user's own OPENBLAS_NUM_THREADS stays.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def usable_processors() -> int:
    """Count the processors to plan threads for: at least 1.

    A container's share is a CPU quota, which neither ``os.cpu_count`` nor onnxruntime's own
    default looks at: they see the host's cores, and threads beyond the quota only get throttled.

    Returns:
        The smaller of the scheduling affinity and the cgroup's quota, rounded up.
    """
    affinity = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quota = cgroup_quota()
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def cgroup_quota(
    v2: Path = _CGROUP_V2_QUOTA,
    v1_quota: Path = _CGROUP_V1_QUOTA,
    v1_period: Path = _CGROUP_V1_PERIOD,
) -> float | None:
    """Return the processors' worth of time this container may use, or None when unlimited.

    Source: Linux kernel, Documentation/admin-guide/cgroup-v2.rst (``cpu.max``) and
    Documentation/scheduler/sched-bwc.rst (version 1).
    """
    try:
        quota, period = v2.read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = v1_quota.read_text().strip(), v1_period.read_text().strip()
        except OSError:
            return None
    if quota == "max" or int(quota) <= 0:
        return None
    return int(quota) / int(period)
