"""Bundles opened without queues, for tests of what the calls compute."""

from pathlib import Path
from typing import Any

from service.bundle.storage import BundleLocation, read_bundle
from service.inference.autoencoder import Autoencoder, Judgement
from service.inference.graphs import DirectGraph, Ticket, run_to_completion
from service.inference.session import FloatArray, SessionOptions
from service.inference.verification import open_verified_sessions
from tests.bundles import TinyModel


def open_autoencoder(location: BundleLocation) -> Autoencoder:
    bundle = read_bundle(location)
    sessions, _ = open_verified_sessions(bundle, SessionOptions(threads=1))
    return Autoencoder(bundle, {name: DirectGraph(session) for name, session in sessions.items()})


def open_tiny(models_dir: Path, model: TinyModel) -> Autoencoder:
    return open_autoencoder(BundleLocation(model.name, 1, models_dir / model.name / "1"))


def judged(autoencoder: Autoencoder, rows: FloatArray, **options: Any) -> Judgement:
    return run_to_completion(autoencoder.score(rows, ticket=Ticket(), **options))
