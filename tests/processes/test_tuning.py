"""What has been imported or loaded is exempt from garbage collection."""

import platform
import subprocess
import sys

import pytest

IMPORTING = """
import gc
from service.processes.tuning import exempt_from_collection
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
with exempt_from_collection():
    kept = [[] for _ in range(100_000)]
assert not collections, collections
assert gc.get_freeze_count() > 100_000, gc.get_freeze_count()
assert gc.isenabled()
"""
SETTLING = """
import gc
from service.processes.tuning import freeze_after_startup
loaded = len(gc.get_objects())
freeze_after_startup()
assert gc.get_freeze_count() > 0.9 * loaded, gc.get_freeze_count()
assert gc.isenabled()
assert gc.get_threshold()[0] > 10_000, gc.get_threshold()
class Cycle: pass
for _ in range(200_000):
    one = Cycle()
    one.itself = one
assert len(gc.get_objects()) < 150_000, len(gc.get_objects())
"""


@pytest.mark.parametrize("program", [IMPORTING, SETTLING], ids=["imported", "loaded"])
def test_what_lives_on_is_exempt_and_new_garbage_is_still_collected(program: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")


FAULTS = """
import resource, sys
from service.processes.tuning import freeze_after_startup
if sys.argv[1] == "settled":
    freeze_after_startup()
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    buffers = [bytearray(500_000) for _ in range(8)]
    del buffers
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
@pytest.mark.parametrize(("state", "reuses"), [("settled", True), ("fresh", False)])
def test_a_settled_process_uses_the_pages_of_a_large_body_again(state: str, reuses: bool) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FAULTS, state], capture_output=True, text=True, check=True
    )

    assert (int(run.stdout) < 100) is reuses
