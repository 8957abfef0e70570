"""Freed memory goes back to the system when the heap is trimmed."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
from pathlib import Path
from service.catalog.memory import trim_heap

def resident_bytes():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

blocks = [bytes(1000) for _ in range(100_000)]
kept = blocks[-1]  # at the top of the heap, so that free alone gives nothing back
del blocks
before = resident_bytes()
trim_heap()
print(before - resident_bytes())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep no pages")
def test_pages_below_one_that_is_in_use_are_given_back() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    assert int(run.stdout) > 50_000_000
