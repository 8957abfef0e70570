"""What has been loaded is no longer looked at by the garbage collector."""

import subprocess
import sys

PROGRAM = """
import gc
from service.memory import settle_memory
loaded = len(gc.get_objects())
settle_memory()
assert gc.get_freeze_count() > 0.9 * loaded, gc.get_freeze_count()
assert gc.isenabled()
assert gc.get_threshold()[0] > 10_000, gc.get_threshold()
class Cycle: pass
for _ in range(200_000):
    one = Cycle()
    one.itself = one
assert len(gc.get_objects()) < 150_000, len(gc.get_objects())
"""


def test_loaded_objects_are_exempt_and_new_garbage_is_still_collected() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")
