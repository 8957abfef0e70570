from pathlib import Path

import numpy as np
import pytest

from tests.training.recipes import DIGITS, digits_recipe
from training.errors import RunCorrupted
from training.fitting.checkpoints import RunFolder
from training.fitting.history import EpochRecord
from training.networks.building import build_autoencoder
from training.tensors import to_numpy

HISTORY = [EpochRecord(1, 2.5, 0.1, {"reconstruction": 3.0}, {"reconstruction": 4.0})]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, digits_recipe())


def test_variables_and_history_come_back_as_they_were(folder: RunFolder) -> None:
    saved = build_autoencoder(digits_recipe(), (8, 8, 1)).weights
    folder.save_latest(saved, HISTORY)
    restored = build_autoencoder(digits_recipe(seed=99), (8, 8, 1)).weights

    assert folder.restore_latest(restored) == HISTORY
    for ours, theirs in zip(restored, saved, strict=True):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(theirs))


def test_without_a_checkpoint_there_is_no_history(folder: RunFolder) -> None:
    assert folder.restore_latest([]) == []


def test_nothing_half_written_is_left_beside_the_checkpoints(folder: RunFolder) -> None:
    weights = build_autoencoder(digits_recipe(), (8, 8, 1)).weights
    folder.save_best(weights)
    folder.save_latest(weights, HISTORY)
    folder.save_latest(weights, HISTORY)

    assert {path.name for path in folder.path.iterdir()} == {
        "best.npz",
        "latest.npz",
        "recipe.json",
    }


def test_a_truncated_checkpoint_is_rejected(folder: RunFolder) -> None:
    weights = build_autoencoder(digits_recipe(), (8, 8, 1)).weights
    folder.save_latest(weights, HISTORY)
    path = folder.path / "latest.npz"
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(RunCorrupted, match=r"latest\.npz cannot be read; remove the folder"):
        folder.restore_latest(weights)


def test_a_checkpoint_of_another_model_is_rejected(folder: RunFolder) -> None:
    model = {**DIGITS["model"], "encoder": [{"layer": "flatten"}, {"layer": "dense", "units": 3}]}
    other = build_autoencoder(digits_recipe(model=model), (8, 8, 1)).weights
    folder.save_best(other)

    with pytest.raises(RunCorrupted, match="has 4 variables of another model, this recipe has 6"):
        folder.restore_best(build_autoencoder(digits_recipe(), (8, 8, 1)).weights)
