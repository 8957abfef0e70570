"""What figures were measured on, for the head of a report."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks.serving import generator

PACKAGES = ("onnxruntime", "numpy", "fastapi", "uvicorn", "uvloop", "pydantic")


def pin_to_processors(count: int) -> set[int]:
    """Keep this process and all that it starts on a few processors.

    Args:
        count: How many; all there are, if there are fewer.
    """
    chosen = set(sorted(os.sched_getaffinity(0))[:count])
    os.sched_setaffinity(0, chosen)
    return chosen


def describe(processors: set[int]) -> str:
    """Name the machine, how busy it was, and the versions of what ran."""
    load, _, _ = os.getloadavg()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{_processor_name()}, {len(processors)} of {os.cpu_count()} processors,"
        f" shared with the generator; load average before it began {load:.1f}\n"
        f"Linux {platform.release()}, Python {platform.python_version()}, {generator.version()}\n"
        f"latentserve {version('latentserve')}, {versions}"
    )


def _processor_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
