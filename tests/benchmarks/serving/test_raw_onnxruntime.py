"""The reference is onnxruntime alone, on as many processors as there are processes."""

from pathlib import Path

import pytest

from benchmarks.serving.loads import DENSE
from benchmarks.serving.models import prepare_models
from benchmarks.serving.raw_onnxruntime import BATCH_ROWS, run_raw


@pytest.mark.slow
def test_a_process_uses_one_processor_at_most(tmp_path: Path) -> None:
    (model,) = prepare_models({DENSE}, tmp_path, tmp_path)
    run = run_raw(model, processes=2, seconds=0.3)
    processors = run.rows_per_second / BATCH_ROWS * run.cpu_microseconds / 1e6
    assert 0 < processors < 2.2
