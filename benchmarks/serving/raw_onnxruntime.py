"""onnxruntime with nothing around it: what any server of the same model could reach at most."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from benchmarks.serving.loads import RECONSTRUCT, example_rows
from benchmarks.serving.models import ServedModel

BATCH_ROWS = 64


def raw_rows_per_second(model: ServedModel, processes: int, seconds: float) -> float:
    """Run batches in several processes at once, each with one thread.

    Args:
        model: The model.
        processes: How many processes.
        seconds: How long each of them goes on.
    """
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_run, [model] * processes, [0.1] * processes))  # sessions and imports
        return sum(pool.map(_run, [model] * processes, [seconds] * processes))


def _run(model: ServedModel, seconds: float) -> float:
    run = model.direct(RECONSTRUCT)
    batch = example_rows(BATCH_ROWS, model.row_shape)
    run(batch)
    rows, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        run(batch)
        rows += BATCH_ROWS
    return rows / passed
