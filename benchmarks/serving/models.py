"""The two models that are served: as bundles for this service, as one ONNX file for the others."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from benchmarks.dense_model import publish_dense_model
from benchmarks.reconstruction_graph import join_graphs
from benchmarks.serving.dialects import Rows
from benchmarks.serving.loads import CONVOLUTIONAL, DENSE, RECONSTRUCT, SCORE
from service.bundle.manifest import DECODER, ENCODER
from service.bundle.storage import BundleLocation, find_bundles, read_bundle

CONVOLUTIONAL_BUNDLE = "fashion-denoiser"


@dataclass(frozen=True)
class ServedModel:
    """A model in every form that a server of the comparison needs.

    Attributes:
        key: Its name on the command line and in the tables.
        models_dir: A folder with its bundle and nothing else.
        graphs: Paths of its ONNX graphs by call.
        row_shape: Shape of one row.
    """

    key: str
    models_dir: Path
    graphs: dict[str, Path]
    row_shape: tuple[int, ...]

    @property
    def graph(self) -> Path:
        """The graph that answers ``/reconstruct``."""
        return self.graphs[RECONSTRUCT]

    def direct(self, call: str) -> Callable[[Rows], Rows]:
        """Make the function that onnxruntime alone makes of a call: one thread, no batching.

        Args:
            call: Which call.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            self.graphs[call], options, providers=["CPUExecutionProvider"]
        )
        taken, given = session.get_inputs()[0].name, session.get_outputs()[0].name

        def run(rows: Rows) -> Rows:
            answers: Any = session.run([given], {taken: rows})
            return np.asarray(answers[0])

        return run


def prepare_models(keys: set[str], folder: Path, published: Path) -> list[ServedModel]:
    """Make the models that are asked for.

    Args:
        keys: Their names.
        folder: Where they may be written.
        published: The folder of published bundles.

    Raises:
        FileNotFoundError: The convolutional bundle is not published there.
    """
    models = []
    if DENSE in keys:
        models.append(_served(DENSE, publish_dense_model(folder / DENSE / "models"), folder))
    if CONVOLUTIONAL in keys:
        models.append(
            _served(CONVOLUTIONAL, _copy(published, folder / CONVOLUTIONAL / "models"), folder)
        )
    return models


def _copy(published: Path, models_dir: Path) -> BundleLocation:
    versions = [
        location for location in find_bundles(published) if location.name == CONVOLUTIONAL_BUNDLE
    ]
    if not versions:
        raise FileNotFoundError(f"no bundle {CONVOLUTIONAL_BUNDLE} in {published}")
    newest = max(versions, key=lambda location: location.version)
    copied = models_dir / newest.name / str(newest.version)
    shutil.copytree(newest.folder, copied)
    return BundleLocation(newest.name, newest.version, copied)


def _served(key: str, location: BundleLocation, folder: Path) -> ServedModel:
    bundle = read_bundle(location)
    signatures = bundle.manifest.graphs
    joined = folder / key / "reconstruct.onnx"
    onnx.save(
        join_graphs(
            bundle.graph(ENCODER), bundle.graph(DECODER), signatures[ENCODER], signatures[DECODER]
        ),
        joined,
    )
    graphs = {RECONSTRUCT: joined}
    if bundle.manifest.anomaly is not None:
        anomaly = bundle.manifest.anomaly
        scorer = signatures[anomaly.scores[anomaly.default_score].graph]
        graphs[SCORE] = location.folder / scorer.file
    return ServedModel(key, location.folder.parents[1], graphs, bundle.manifest.input.shape)
