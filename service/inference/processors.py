"""How many processors this process may really use."""

import math
import os
from pathlib import Path

from service.cgroups import CGROUPS, MEMBERSHIP, group_folders


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


def cgroup_quota(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """Return the processors' worth of time this process may use, or None when unlimited.

    The minimum over its group and the groups around it.

    Args:
        cgroups: Where the groups are mounted.
        membership: Lists the groups of this process.

    Source: Linux kernel, Documentation/admin-guide/cgroup-v2.rst (``cpu.max``) and
    Documentation/scheduler/sched-bwc.rst (version 1).
    """
    folders = group_folders("cpu", cgroups, membership)
    quotas = [quota for folder in folders if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _quota_of(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
    except (OSError, ValueError):
        return None
    if quota == "max" or int(quota) <= 0:
        return None
    return int(quota) / int(period)
