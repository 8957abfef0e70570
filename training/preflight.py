"""Before the first epoch: everything that could fail after the last one.

The steps that follow training are gone through with a few rows and initial weights: scorers, the
conversion of every graph, the density of codes, all metrics and gates, the report, the manifest.
What that network measures means nothing and is not looked at, nor is its parity with Keras.
"""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from service.bundle.manifest import Metric
from service.errors import LatentServeError
from service.inference.scoring import threshold_at
from training.data.scaling import Scaling, fit_scaling
from training.data.source import DataDescription
from training.data.source_registry import recipe_source
from training.data.splitting import Part, Split, split_source
from training.errors import FolderUnusable, RecipeError, RehearsalFailed
from training.evaluation.assessing import assess
from training.export.exporting import convert_model
from training.export.scorer_registry import scorer_named
from training.fitting.history import EpochRecord
from training.fitting.layerwise import stage_networks
from training.fitting.objectives import objective_terms
from training.fitting.trained_model import TrainedModel
from training.folders import check_folder
from training.networks.autoencoder import Autoencoder
from training.networks.building import build_autoencoder
from training.publishing.files import bundle_files
from training.publishing.manifest import build_manifest
from training.recipe.recipe import Recipe
from training.report.page import render_report
from training.tensors import to_numpy

REHEARSAL_ROWS = 100
REHEARSAL_TEST_ROWS = 40  # below those of a t-SNE map, which takes seconds
# The last checkpoint, with two moments of an optimizer for each weight, is replaced by a new one
# beside it; the best weights are kept too.
CHECKPOINT_COPIES = 7
BYTES_PER_WEIGHT = 4
# Of everything in a bundle that does not grow with the network: report, calibration, mixture.
BUNDLE_MARGIN_BYTES = 4_000_000


@dataclass(frozen=True)
class TrainingData:
    """The data of a run, split, with its scaling.

    Attributes:
        description: What the rows are.
        split: The four parts.
        scaling: Between raw units and the inputs of the network.
    """

    description: DataDescription
    split: Split
    scaling: Scaling

    def categories(self, recipe: Recipe) -> int:
        """Return the number of values of a recipe's condition; 0 without one."""
        return len(self.description.classes) if recipe.data.conditions else 0


@dataclass(frozen=True)
class Sizes:
    """Room on disk that a run needs.

    Attributes:
        bundle_bytes: Of the published bundle.
        checkpoint_bytes: Of all checkpoints.
    """

    bundle_bytes: int
    checkpoint_bytes: int


def read_training_data(recipe: Recipe) -> TrainingData:
    """Read, split and scale the data; what the source has in memory is released afterwards.

    Raises:
        RecipeError: The recipe does not fit its data, or names an unknown score.
        DatasetError: The data is not available, or is corrupted.
    """
    for score in recipe.anomaly.scores:
        scorer_named(score)
    source = recipe_source(recipe)
    description, split = source.describe(), split_source(source, recipe.data, recipe.seed)
    return TrainingData(description, split, fit_scaling(recipe.data.scaling, split.validation.rows))


def check_model_folder(folder: Path) -> None:
    """Prove that a version can be published into a model's folder.

    Raises:
        FolderUnusable: It cannot be written, or is the folder of something else.
    """
    check_folder(folder, 0, "the bundle")
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    visible = [name for name in names if not name.startswith(".")]
    if visible and not any(name.isdecimal() for name in visible):
        raise FolderUnusable(
            f"{folder} has no versions of a model, but {len(visible)} other files or folders: give"
            " the models another folder with --models, or the recipe another name"
        )


def check_split(recipe: Recipe, split: Split) -> None:
    """Check that the parts have enough rows for what the bundle will promise.

    Raises:
        RecipeError: Calibration rows are too few for the default false-positive rate, or there
            are no normal test rows.
    """
    rows, rate = len(split.calibration), recipe.anomaly.default_false_positive_rate
    if threshold_at(rate, np.zeros(rows)) is None:
        needed = math.ceil(1 / rate) - 1
        raise RecipeError(
            f"data.calibration_rows: with {rows} rows no p-value is below {1 / (rows + 1):.2g}, so"
            f" that nothing would be an anomaly at anomaly.default_false_positive_rate ="
            f" {rate:g}; expected at least {needed} rows, or a higher rate"
        )
    if split.abnormal_test_rows().all():
        raise RecipeError(
            "data.normal_classes: none of the test rows is of a normal class, so that nothing can"
            " be measured"
        )


def rehearse_run(recipe: Recipe, data: TrainingData) -> Sizes:
    """Go through every step after training, with a few rows and initial weights.

    Args:
        recipe: The run's configuration.
        data: All of its data; as many rows as a step may need are used.

    Returns:
        The room that the results need.

    Raises:
        LatentServeError: A step rejects the recipe or cannot export its network.
        RehearsalFailed: A step fails in a way that it does not explain.
    """
    shape = data.description.input.shape
    autoencoder = build_autoencoder(recipe, shape, data.categories(recipe))
    for _ in stage_networks(autoencoder, recipe, shape):
        pass  # each is checked when it is made
    model = _untrained(recipe, data, autoencoder)
    try:
        # Figures of a network that has learned nothing may be constant or not finite.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            bundle_bytes = _rehearse(model)
    except (LatentServeError, MemoryError, OSError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # whatever a library raises for rows or a network it cannot take
        raise RehearsalFailed(
            "nothing was trained, since a step after training fails on"
            f" {_counts(model.split)} rows: {type(error).__name__}: {error}. Give the parts more"
            " rows, or train all the same with --no-rehearsal"
        ) from error
    weights = sum(int(np.prod(variable.shape)) for variable in autoencoder.weights)
    return Sizes(
        bundle_bytes=bundle_bytes + BUNDLE_MARGIN_BYTES,
        checkpoint_bytes=CHECKPOINT_COPIES * BYTES_PER_WEIGHT * weights,
    )


def _untrained(recipe: Recipe, data: TrainingData, autoencoder: Autoencoder) -> TrainedModel:
    split = data.split
    few = replace(
        split,
        train=_thinned(split.train, REHEARSAL_ROWS),
        validation=_thinned(split.validation, REHEARSAL_ROWS),
        calibration=_thinned(split.calibration, REHEARSAL_ROWS),
        test=_test_rows(split),
    )
    rows, conditions = to_numpy(data.scaling.scale(few.train.rows)), few.train.conditions
    terms = objective_terms(
        autoencoder, recipe.objective, tf.constant(rows), conditions, training=False
    )
    losses = {name: float(value) for name, value in terms.items()}
    metrics = [
        Metric(name="objective", value=0.0, split=part, rows=1) for part in ("validation", "test")
    ]
    history = [EpochRecord(1, 0.0, 1.0, losses, losses)]
    return TrainedModel(recipe, data.description, few, data.scaling, autoencoder, history, metrics)


def _rehearse(model: TrainedModel) -> int:
    """Return the size of the bundle's files."""
    _, exported = convert_model(model)
    assessment = assess(model, exported)
    files = bundle_files(model, exported, assessment, render_report(model, exported, assessment))
    build_manifest(model, exported, assessment, files)
    return sum(map(len, files.values()))


def _thinned(part: Part, rows: int) -> Part:
    return _chosen(part, _evenly(np.arange(len(part)), rows))


def _test_rows(split: Split) -> Part:
    """Return normal and other test rows, half of each where there are enough."""
    abnormal = split.abnormal_test_rows()
    halves = [
        _evenly(np.flatnonzero(mask), REHEARSAL_TEST_ROWS // 2) for mask in (~abnormal, abnormal)
    ]
    return _chosen(split.test, np.sort(np.concatenate(halves)))


def _evenly(positions: np.ndarray, count: int) -> np.ndarray:
    if len(positions) <= count:
        return positions
    return positions[np.linspace(0, len(positions) - 1, count).astype(int)]


def _chosen(part: Part, positions: np.ndarray) -> Part:
    conditions = None if part.conditions is None else part.conditions[positions]
    return Part(part.indices[positions], part.rows[positions], part.labels[positions], conditions)


def _counts(split: Split) -> str:
    parts: Iterable[tuple[str, Part]] = split.parts().items()
    return ", ".join(f"{len(part)} {name}" for name, part in parts)
