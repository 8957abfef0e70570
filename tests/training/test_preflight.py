from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.training.recipes import DIGITS, NoProgress, digits_recipe, with_training
from training.errors import ExportFailed, FolderUnusable, RecipeError, RehearsalFailed, RunCorrupted
from training.export.scorer import Constants
from training.export.scorer_registry import SCORERS
from training.export.scorers.reconstruction_error import ReconstructionError
from training.fitting.checkpoints import RunFolder
from training.fitting.progress import Progress
from training.networks.autoencoder import Autoencoder
from training.pipeline import Publication, train_and_publish
from training.preflight import (
    check_model_folder,
    check_split,
    read_training_data,
    rehearse_run,
)
from training.recipe.recipe import Recipe
from training.tensors import Tensor

pytestmark = pytest.mark.slow

WIDE_CODE = {
    "family": "plain",
    "encoder": [{"layer": "flatten"}, {"layer": "dense", "units": 80}],
    "decoder": [{"layer": "dense", "units": 64}, {"layer": "reshape", "shape": [8, 8, 1]}],
}
DEEP_MODEL = {
    "family": "plain",
    "encoder": [{"layer": "flatten"}, *({"layer": "dense", "units": n} for n in (32, 16, 6))],
    "decoder": [
        *({"layer": "dense", "units": n} for n in (12, 32, 64)),
        {"layer": "reshape", "shape": [8, 8, 1]},
    ],
}
# The second stage has codes of 16 units, and its decoder layer takes 12.
MISMATCHED_STAGES = [
    {
        "encoder_layers": encoder,
        "decoder_layers": decoder,
        "reconstruction": "mean-squared-error",
        "training": with_training(),
    }
    for encoder, decoder in ((2, 2), (1, 1), (1, 1))
]


class Chance(ReconstructionError):
    """A score that is drawn, and so cannot be published."""

    def score(
        self,
        autoencoder: Autoencoder,
        constants: Constants,
        rows: Tensor,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Add noise to the scores."""
        scores, features = super().score(autoencoder, constants, rows, conditions)
        return scores + tf.random.normal(tf.shape(scores)), features


@contextmanager
def no_training() -> Iterator[Progress]:
    """Fail as soon as an epoch could begin."""
    pytest.fail("training began")
    yield NoProgress()


def with_data(**changes: Any) -> dict[str, Any]:
    return {**DIGITS["data"], **changes}


def publish_without_training(recipe: Recipe, folder: Path) -> None:
    train_and_publish(recipe, folder / "models", folder / "runs", no_training(), "for a test")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"data": with_data(calibration_rows=98)},
            r"calibration_rows: with 98 rows .*default_false_positive_rate = 0\.01;.* 99 rows",
        ),
        (
            {"published": [{"metric": "accuracy", "split": "test", "value": 0.9}]},
            r"published: accuracy \(test\) is not measured",
        ),
        (
            {"model": DEEP_MODEL, "layerwise": MISMATCHED_STAGES},
            r"layerwise\[1\]: its decoder layers do not accept codes of shape \(16,\)",
        ),
    ],
)
def test_a_recipe_that_would_fail_after_training_is_refused_before_the_first_epoch(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        publish_without_training(digits_recipe(**changes), tmp_path)


def test_the_fewest_calibration_rows_are_enough_and_one_less_is_not() -> None:
    recipe = digits_recipe(data=with_data(calibration_rows=99))
    split = read_training_data(recipe).split
    fewer = replace(
        split,
        calibration=read_training_data(
            digits_recipe(data=with_data(calibration_rows=98))
        ).split.calibration,
    )

    check_split(recipe, split)
    with pytest.raises(RecipeError, match="at least 99 rows"):
        check_split(recipe, fewer)


def test_test_rows_of_which_none_is_normal_are_refused() -> None:
    recipe = digits_recipe()
    split = replace(read_training_data(recipe).split, normal_labels=())

    with pytest.raises(RecipeError, match="none of the test rows is of a normal class"):
        check_split(recipe, split)


def test_a_score_that_cannot_be_exported_is_refused_before_the_first_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCORERS, "chance", Chance())

    with pytest.raises(ExportFailed, match=r"scorer-chance\.onnx draws random numbers"):
        publish_without_training(digits_recipe(anomaly={"scores": ["chance"]}), tmp_path)


def test_rows_that_a_later_step_cannot_work_with_are_refused_before_the_first_epoch(
    tmp_path: Path,
) -> None:
    recipe = digits_recipe(model=WIDE_CODE, data=with_data(train_rows=20))

    with pytest.raises(RehearsalFailed, match=r"20 train, .*n_components=64.*--no-rehearsal"):
        publish_without_training(recipe, tmp_path)


def test_a_rehearsal_tells_the_room_that_the_results_need(
    recipe: Recipe, publication: Publication, tmp_path: Path
) -> None:
    sizes = rehearse_run(recipe, read_training_data(recipe))
    again = train_and_publish(
        recipe, tmp_path / "models", tmp_path / "runs", nullcontext(NoProgress()), "for a test"
    )
    run = RunFolder(tmp_path / "runs", recipe).path

    assert publication.size_bytes < sizes.bundle_bytes < publication.size_bytes + 8_000_000
    assert sum(path.stat().st_size for path in run.iterdir()) < sizes.checkpoint_bytes
    # The rehearsal leaves no trace in what is trained after it.
    assert [metric for metric in again.metrics if metric.name != "objective"] == [
        metric for metric in publication.metrics if metric.name != "objective"
    ]


def test_a_finished_run_is_published_without_a_rehearsal(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = (tmp_path / "models", tmp_path / "runs")
    train_and_publish(recipe, *folders, nullcontext(NoProgress()), "for a test")
    monkeypatch.setattr("training.pipeline.rehearse_run", lambda *_: pytest.fail("rehearsed"))

    again = train_and_publish(recipe, *folders, nullcontext(NoProgress()), "for a test")

    assert again.location.version == 2


def test_a_run_on_data_that_has_changed_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    RunFolder(tmp_path / "runs", recipe).claim_for_data("0" * 64)

    with pytest.raises(RunCorrupted, match="was trained on other data, of SHA-256 0000"):
        publish_without_training(recipe, tmp_path)


def test_a_folder_of_something_else_in_the_place_of_the_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "digits-test" / "source").mkdir(parents=True)

    with pytest.raises(FolderUnusable, match="has no versions of a model, but 1 other"):
        check_model_folder(tmp_path / "digits-test")


@pytest.mark.parametrize("entry", ["1", ".publishing-x7"])
def test_versions_and_unfinished_publications_are_what_a_models_folder_has(
    entry: str, tmp_path: Path
) -> None:
    (tmp_path / "digits-test" / entry).mkdir(parents=True)

    check_model_folder(tmp_path / "digits-test")
