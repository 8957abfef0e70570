"""Bundles opened without queues, for tests of what operations compute."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np

from service.arrays import FloatArray
from service.bundle.storage import BundleLocation, read_bundle
from service.catalog.verification import open_verified_sessions
from service.inference.autoencoder import Autoencoder
from service.inference.chained_graph import with_chain
from service.inference.graphs import direct_graphs
from service.inference.session import SessionOptions
from service.operations.anomaly_score import AnomalyDecision, ScoreOptions
from service.operations.direct import run_directly
from service.operations.operation import Operation, Work
from service.operations.sample import SampleOptions, Samples
from service.operations.table import ANOMALY_SCORE, SAMPLE
from service.request_context import RequestContext
from tests.bundles import TinyModel

NO_ROWS: FloatArray = np.empty(0, np.float32)


def open_autoencoder(location: BundleLocation) -> Autoencoder:
    bundle = read_bundle(location)
    sessions, _ = open_verified_sessions(bundle, SessionOptions(threads=1))
    return Autoencoder(bundle, direct_graphs(with_chain(sessions)))


def open_tiny(models_dir: Path, model: TinyModel) -> Autoencoder:
    return open_autoencoder(BundleLocation(model.name, 1, models_dir / model.name / "1"))


def start(
    operation: Operation[Any],
    autoencoder: Autoencoder,
    rows: FloatArray = NO_ROWS,
    conditions: FloatArray | None = None,
    options: Any = None,
) -> Coroutine[Any, Any, Any]:
    """Start an operation, to be awaited."""
    return operation.run(autoencoder, Work(rows, conditions, options, RequestContext()))


def decide(
    autoencoder: Autoencoder,
    rows: FloatArray,
    conditions: FloatArray | None = None,
    **options: Any,
) -> AnomalyDecision:
    """Score rows."""
    return run_directly(ANOMALY_SCORE, autoencoder, rows, conditions, ScoreOptions(**options))


def draw(
    autoencoder: Autoencoder, count: int, conditions: FloatArray | None = None, **options: Any
) -> Samples:
    """Draw rows."""
    return run_directly(
        SAMPLE, autoencoder, conditions=conditions, options=SampleOptions(count, **options)
    )
