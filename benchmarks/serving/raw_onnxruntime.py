"""onnxruntime with nothing around it: what any server of the same model could reach at most."""

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from benchmarks.serving.loads import RECONSTRUCT, example_rows
from benchmarks.serving.models import ServedModel

BATCH_ROWS = 64


@dataclass(frozen=True)
class RawRun:
    """What onnxruntime alone did.

    Attributes:
        rows_per_second: Of all processes together.
        cpu_microseconds: Processor time of one batch.
    """

    rows_per_second: float
    cpu_microseconds: float


def run_raw(model: ServedModel, processes: int, seconds: float) -> RawRun:
    """Run batches in several processes at once, each with one thread.

    Args:
        model: The model.
        processes: How many processes.
        seconds: How long each of them goes on.
    """
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_run, [model] * processes, [0.1] * processes))  # sessions and imports
        runs = list(pool.map(_run, [model] * processes, [seconds] * processes))
    return RawRun(
        sum(run.rows_per_second for run in runs),
        sum(run.cpu_microseconds for run in runs) / processes,
    )


def _run(model: ServedModel, seconds: float) -> RawRun:
    run = model.direct(RECONSTRUCT)
    batch = example_rows(BATCH_ROWS, model.row_shape)
    run(batch)
    batches, started, cpu_started = 0, time.perf_counter(), time.process_time()
    while (passed := time.perf_counter() - started) < seconds:
        run(batch)
        batches += 1
    cpu_seconds = time.process_time() - cpu_started
    return RawRun(batches * BATCH_ROWS / passed, cpu_seconds / max(1, batches) * 1e6)
