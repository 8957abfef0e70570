"""Scores the rows of a file without a server, as the calls do."""

from pathlib import Path

from service.bundle.storage import BundleLocation, find_bundles, read_bundle
from service.catalog.verification import open_verified_sessions
from service.errors import BundleNotFound, ModelRequired
from service.formats.npy import read_npy
from service.formats.row_format import RowFormat
from service.inference.autoencoder import Autoencoder
from service.inference.chained_graph import with_chain
from service.inference.graphs import direct_graphs
from service.inference.session import SessionOptions
from service.operations.anomaly_score import AnomalyDecision, ScoreOptions
from service.operations.direct import run_directly
from service.operations.table import ANOMALY_SCORE, require

_NO_LIMIT = 2**63


def score_file(
    rows: Path,
    models_dir: Path,
    *,
    name: str | None = None,
    version: int | None = None,
    false_positive_rate: float | None = None,
) -> AnomalyDecision:
    """Score the rows of a ``.npy`` file as ``/anomaly-score`` does.

    Args:
        rows: The file, in the model's units.
        models_dir: Folder of bundles.
        name: Name of the model; may be left out where there is only one.
        version: Its version; the highest when left out.
        false_positive_rate: In (0, 1); the manifest's default when left out.

    Raises:
        LatentServeError: The bundle or the rows cannot be used.
    """
    bundle = read_bundle(_locate(models_dir, name, version))
    sessions, _ = open_verified_sessions(bundle, SessionOptions())
    inputs = read_npy(rows.read_bytes(), RowFormat.of_inputs(bundle.manifest, _NO_LIMIT))
    require(bundle.manifest, ANOMALY_SCORE)
    autoencoder = Autoencoder(bundle, direct_graphs(with_chain(sessions)))
    options = ScoreOptions(false_positive_rate=false_positive_rate)
    return run_directly(ANOMALY_SCORE, autoencoder, inputs, options=options)


def _locate(models_dir: Path, name: str | None, version: int | None) -> BundleLocation:
    found = find_bundles(models_dir)
    names = sorted({location.name for location in found})
    if name is None and len(names) != 1:
        raise ModelRequired(f"name a model; there are {', '.join(names) or 'none'}")
    matching = [
        location
        for location in found
        if location.name == (name or names[0]) and version in (None, location.version)
    ]
    if not matching:
        raise BundleNotFound(f"no such bundle in {models_dir}; there are {', '.join(names)}")
    return matching[-1]
