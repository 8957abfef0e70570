"""Greedy layer-wise fitting trains each stage's layers, on the codes of the stages before."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.tiny_recipes import KINDS, NoProgress, tiny_autoencoder, tiny_recipe, tiny_rows
from training.errors import RecipeError
from training.fitting.checkpoints import RunFolder
from training.fitting.layerwise import fit_layerwise
from training.recipe.recipe import Recipe
from training.tensors import to_numpy

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

KIND = "layer-wise"
ROWS = tiny_rows(KIND, 48, 1), tiny_rows(KIND, 16, 2)


def fitted_weights(recipe: Recipe, runs_dir: Path) -> dict[str, np.ndarray]:
    autoencoder = tiny_autoencoder(KIND)
    fit_layerwise(autoencoder, recipe, ROWS, RunFolder(runs_dir, recipe), NoProgress())
    return {variable.path: to_numpy(variable) for variable in autoencoder.weights}


def stages(**changes: Any) -> list[dict[str, Any]]:
    first, second = KINDS[KIND]["layerwise"]
    return [first, {**second, **changes}]


@pytest.mark.slow
def test_a_stage_leaves_the_layers_of_the_stage_before_as_they_were(tmp_path: Path) -> None:
    whole = tiny_recipe(KIND)
    short_second = {**stages()[1]["training"], "epochs": 1}
    other = tiny_recipe(KIND, layerwise=stages(training=short_second))
    long, short = (
        fitted_weights(recipe, tmp_path / str(number))
        for number, recipe in enumerate((whole, other))
    )
    changed = {path for path in long if not np.array_equal(long[path], short[path])}
    assert changed == {
        "encoder-2-dense/kernel",
        "encoder-2-dense/bias",
        "decoder-0-dense/kernel",
        "decoder-0-dense/bias",
    }


def test_the_first_stage_trains_the_outermost_layers(tmp_path: Path) -> None:
    fresh = {variable.path: to_numpy(variable) for variable in tiny_autoencoder(KIND).weights}
    fitted = fitted_weights(tiny_recipe(KIND), tmp_path)
    for path in ("encoder-1-dense/kernel", "decoder-1-dense/kernel"):
        assert not np.array_equal(fresh[path], fitted[path])


def test_the_second_stage_learns_to_give_the_first_ones_codes_back(tmp_path: Path) -> None:
    recipe = tiny_recipe(KIND)
    fit_layerwise(tiny_autoencoder(KIND), recipe, ROWS, RunFolder(tmp_path, recipe), NoProgress())
    run = RunFolder(tmp_path, recipe)
    assert sorted(path.name for path in run.path.iterdir()) == ["stage-1", "stage-2"]


def test_progress_counts_on_over_the_stages(tmp_path: Path) -> None:
    told: list[int] = []

    class Listener(NoProgress):
        def finish_epoch(self, record: Any, best_epoch: int) -> None:
            assert best_epoch <= record.epoch
            told.append(record.epoch)

    recipe = tiny_recipe(KIND)
    epochs = fit_layerwise(
        tiny_autoencoder(KIND), recipe, ROWS, RunFolder(tmp_path, recipe), Listener()
    )
    assert len(epochs) == 5
    assert told == [1, 2, 3, 4, 5]
    assert recipe.max_epochs == 9


def test_without_stages_nothing_is_trained(tmp_path: Path) -> None:
    recipe = tiny_recipe("dense")
    autoencoder = tiny_autoencoder("dense")
    before = [to_numpy(variable) for variable in autoencoder.weights]
    fit_layerwise(autoencoder, recipe, ROWS, RunFolder(tmp_path, recipe), NoProgress())
    after = [to_numpy(variable) for variable in autoencoder.weights]
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(before, after, strict=True))


def test_stages_that_leave_layers_out_are_rejected() -> None:
    with pytest.raises(RecipeError, match="2 encoder and 2 decoder layers in stages"):
        tiny_recipe(KIND, layerwise=stages()[:1])


def test_a_stage_whose_outputs_have_another_shape_is_rejected(tmp_path: Path) -> None:
    first, second = stages()
    wrong = [
        {**first, "encoder_layers": 2, "decoder_layers": 1},
        {**second, "encoder_layers": 1, "decoder_layers": 2},
    ]
    recipe = tiny_recipe(KIND, layerwise=wrong)
    with pytest.raises(RecipeError, match=r"layerwise\[0\]"):
        fit_layerwise(
            tiny_autoencoder(KIND), recipe, ROWS, RunFolder(tmp_path, recipe), NoProgress()
        )
