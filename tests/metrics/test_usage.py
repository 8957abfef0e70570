"""What processes take of the machine."""

import os
import resource
import subprocess
import sys
import time

import pytest

from service.metrics import usage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_process_is_seen_as_the_system_sees_it() -> None:
    seen = usage.read_usage(os.getpid())
    booted = usage.boot_seconds()
    assert seen is not None
    assert booted is not None

    times = os.times()
    assert seen.processor_seconds == pytest.approx(times.user + times.system, abs=1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert peak / 4 < seen.resident_bytes <= 1.1 * peak
    assert seen.virtual_bytes > seen.resident_bytes
    assert seen.runnable
    assert time.time() - 24 * 3600 < booted + seen.start_seconds < time.time() + 1


def test_descriptors_are_counted_and_have_a_limit() -> None:
    before = usage.count_open_descriptors(os.getpid())
    assert before is not None
    with open(os.devnull):  # noqa: PTH123
        assert usage.count_open_descriptors(os.getpid()) == before + 1

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert usage.max_descriptors(os.getpid()) == soft


def test_a_process_that_has_ended_is_not_seen() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    assert usage.read_usage(ended.pid) is None
    assert usage.count_open_descriptors(ended.pid) is None
    assert usage.max_descriptors(ended.pid) is None
