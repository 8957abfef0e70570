"""The control groups that limit this process: a container's own, and those around it."""

from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
"""Where the groups are mounted."""
MEMBERSHIP = Path("/proc/self/cgroup")
"""Lists the groups of this process."""


def group_folders(
    controller: str, cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP
) -> list[Path]:
    """List the folders of the groups of this process, each before those around it.

    A container sees its own group as the outermost; a service of systemd is in a slice.

    Args:
        controller: What is limited: ``cpu`` or ``memory``. Version 1 has a tree for each.
        cgroups: Where the groups are mounted.
        membership: Lists the groups of this process.

    Source: Linux kernel, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/cgroups.rst.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = ["0::/", f"1:{controller}:/"]
    groups: list[tuple[Path, PurePosixPath]] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            groups.append((cgroups, PurePosixPath(path)))
        elif controller in controllers.split(","):
            groups.append((cgroups / controller, PurePosixPath(path)))
    return [
        root / group.relative_to("/") for root, path in groups for group in (path, *path.parents)
    ]


def memory_limit_bytes(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int | None:
    """Return the memory beyond which processes of this group are killed, or None when unlimited.

    Args:
        cgroups: Where the groups are mounted.
        membership: Lists the groups of this process.

    Source: Linux kernel, Documentation/admin-guide/cgroup-v2.rst (``memory.max``) and
    cgroup-v1/memory.rst (``memory.limit_in_bytes``, by default the maximum of a page counter).
    """
    limits = [
        limit
        for folder in group_folders("memory", cgroups, membership)
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _read_limit(folder / name)) is not None
    ]
    return min(limits, default=None)


_UNLIMITED_BYTES = 2**60  # no machine has as much; version 1 writes 2**63 less a page


def _read_limit(file: Path) -> int | None:
    try:
        limit = int(file.read_text())
    except (OSError, ValueError):  # it is not there, or "max"
        return None
    return limit if 0 < limit < _UNLIMITED_BYTES else None
