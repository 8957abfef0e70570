import time
from itertools import chain, repeat

import numpy as np

from benchmarks.graph_timing import processor_seconds_per_run
from service.arrays import FloatArray

ROWS = np.zeros((1, 1), np.float32)


class Work:
    """A graph whose runs take this much processor time, the first one more, and as much sleep."""

    def __init__(self, first: float, others: float) -> None:
        self._seconds = chain([first], repeat(others))

    def run(self, *inputs: FloatArray, stop: object = None) -> tuple[FloatArray, ...]:  # noqa: ARG002  # nothing here is ended
        seconds = next(self._seconds)
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass
        time.sleep(seconds)
        return inputs

    def run_and_release_memory(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        return self.run(*inputs)

    def stop(self) -> None:
        """Nothing here runs on."""


def test_a_run_costs_its_processor_time_without_waits_and_without_the_first() -> None:
    seconds = processor_seconds_per_run(Work(0.1, 0.005), [ROWS])

    assert 0.005 <= seconds < 0.008
