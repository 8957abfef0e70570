"""Every kind of autoencoder trains from its seed alone, outlives interruption, exports exactly."""

from pathlib import Path

import numpy as np
import pytest

from service.bundle.manifest import DECODER
from service.inference.session import Session
from tests.training.tiny_recipes import (
    KINDS,
    Interruption,
    NoProgress,
    tiny_autoencoder,
    tiny_conditions,
    tiny_graphs,
    tiny_recipe,
    tiny_rows,
)
from training.export.conversion import export_graph
from training.export.parity import BATCH_SIZES, TOLERANCE, check_parity
from training.fitting.checkpoints import RunFolder
from training.fitting.history import EpochRecord
from training.fitting.layerwise import fit_layerwise
from training.fitting.progress import OffsetProgress, Progress
from training.fitting.trainer import Trainer, fit
from training.networks.autoencoder import Autoencoder
from training.tensors import to_numpy

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

TRAIN_ROWS = 40
VALIDATION_ROWS = 16


def trained(kind: str, runs_dir: Path, progress: Progress) -> tuple[Autoencoder, list[EpochRecord]]:
    recipe = tiny_recipe(kind)
    autoencoder = tiny_autoencoder(kind)
    rows = tiny_rows(kind, TRAIN_ROWS, 1), tiny_rows(kind, VALIDATION_ROWS, 2)
    run = RunFolder(runs_dir, recipe)
    stages = fit_layerwise(autoencoder, recipe, rows, run, progress)
    later = OffsetProgress(progress, len(stages))
    conditions = tiny_conditions(kind, TRAIN_ROWS), tiny_conditions(kind, VALIDATION_ROWS)
    trainer = Trainer(autoencoder, recipe, *rows, conditions)
    return autoencoder, fit(trainer, recipe.training, run, later)


def losses(history: list[EpochRecord]) -> list[tuple[float, float]]:
    return [(record.training_loss, record.validation_loss) for record in history]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_trains_the_same_weights_with_and_without_an_interruption(
    kind: str, tmp_path: Path
) -> None:
    whole, history = trained(kind, tmp_path / "whole", NoProgress())
    with pytest.raises(KeyboardInterrupt):
        trained(kind, tmp_path / "halted", Interruption(epochs=3))
    resumed, resumed_history = trained(kind, tmp_path / "halted", NoProgress())
    assert losses(resumed_history) == losses(history)
    assert len(history) == 4
    assert history[-1].training["reconstruction"] < history[0].training["reconstruction"]
    for ours, theirs in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(theirs))


@pytest.mark.parametrize("kind", KINDS)
def test_every_graph_computes_what_keras_computes_on_one_row_and_on_seven(kind: str) -> None:
    autoencoder = tiny_autoencoder(kind)
    rows, conditions = tiny_rows(kind, 8), tiny_conditions(kind, 8)
    codes = to_numpy(autoencoder.encode(rows, conditions)[0])
    assert BATCH_SIZES == (1, 7)
    for graph in tiny_graphs(kind, autoencoder):
        session = Session(export_graph(graph), graph.signature)
        first = codes if graph.name == DECODER else rows
        inputs = (first,) if conditions is None else (first, conditions)
        assert check_parity(graph, session, *inputs) <= TOLERANCE
