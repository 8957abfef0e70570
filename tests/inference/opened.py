"""Bundles opened without queues, for tests of what the calls compute."""

from pathlib import Path
from typing import Any

from service.arrays import FloatArray
from service.bundle.storage import BundleLocation, read_bundle
from service.catalog.verification import open_verified_sessions
from service.inference.autoencoder import AnomalyDecision, Autoencoder
from service.inference.graphs import DirectGraph, RequestContext, run_to_completion
from service.inference.session import SessionOptions
from tests.bundles import TinyModel


def open_autoencoder(location: BundleLocation) -> Autoencoder:
    bundle = read_bundle(location)
    sessions, _ = open_verified_sessions(bundle, SessionOptions(threads=1))
    return Autoencoder(bundle, {name: DirectGraph(session) for name, session in sessions.items()})


def open_tiny(models_dir: Path, model: TinyModel) -> Autoencoder:
    return open_autoencoder(BundleLocation(model.name, 1, models_dir / model.name / "1"))


def judged(autoencoder: Autoencoder, rows: FloatArray, **options: Any) -> AnomalyDecision:
    return run_to_completion(autoencoder.score(rows, context=RequestContext(), **options))
