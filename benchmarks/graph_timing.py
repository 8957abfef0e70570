"""What one run of a graph costs in processor time, which other programs hardly change."""

import time
from collections.abc import Sequence

from service.arrays import FloatArray
from service.inference.session import Runnable


def processor_seconds_per_run(
    session: Runnable, inputs: Sequence[FloatArray], minimum_seconds: float = 0.05
) -> float:
    """Run a graph again and again, after a first run that plans memory for this size.

    Args:
        session: The graph.
        inputs: One array for each of its inputs.
        minimum_seconds: Processor time that the runs take at least, all together.

    Returns:
        Mean processor seconds of a run, those of all its threads.
    """
    session.run(*inputs)
    started, runs = time.process_time(), 0
    while (spent := time.process_time() - started) < minimum_seconds:
        session.run(*inputs)
        runs += 1
    return spent / runs
