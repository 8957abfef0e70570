"""The steps from a recipe to a published bundle: train, export, publish.

Weights are fitted to training rows. Validation rows decide scaling constants, the published epoch
and the size of the mixture. Calibration rows are used once all that is fixed. Test rows give the
figures.

Example, as the command ``latentserve-train train digits-stacked`` runs:
    ``recipe = load_recipe("digits-stacked")``
    ``progress = show_progress(Console(), recipe.max_epochs)``
    ``train_and_publish(recipe, Path("models"), Path("runs"), progress)``
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from service.bundle.manifest import REPORT_FILE, Manifest, Metric
from service.bundle.storage import BundleLocation, publish_bundle, read_bundle
from service.catalog.verification import replay_golden
from training.errors import FolderUnusable, GatesFailed
from training.evaluation.assessing import assess
from training.evaluation.assessment import GateResult
from training.evaluation.gates import waive_gates
from training.export.exported_model import ExportedModel
from training.export.exporting import export_model
from training.fitting.checkpoints import RunFolder
from training.fitting.history import is_finished, published_epoch
from training.fitting.layerwise import fit_layerwise
from training.fitting.memory import memory_errors_named
from training.fitting.progress import OffsetProgress, Progress
from training.fitting.run_lock import lock_run
from training.fitting.trained_model import TrainedModel
from training.fitting.trainer import Trainer, fit
from training.folders import check_folder, remove_drafts, write_atomically
from training.networks.building import build_autoencoder
from training.preflight import (
    TrainingData,
    check_model_folder,
    check_split,
    read_training_data,
    rehearse_run,
)
from training.publishing.files import bundle_files
from training.publishing.manifest import build_manifest
from training.recipe.recipe import Recipe
from training.report.page import render_report
from training.seeds import Stream
from training.tensors import to_numpy


@dataclass(frozen=True)
class Publication:
    """A published bundle, and its most important figures.

    Attributes:
        location: Folder of the bundle.
        metrics: All figures, with those that others publish beside them.
        epochs: Number of epochs, those of stages included.
        training_seconds: Duration of all epochs.
        parity_error: Largest deviation of a graph from Keras.
        size_bytes: Total size of all files.
    """

    location: BundleLocation
    metrics: list[Metric]
    epochs: int
    training_seconds: float
    parity_error: float
    size_bytes: int


def train_and_publish(
    recipe: Recipe,
    models_dir: Path,
    runs_dir: Path,
    progress: AbstractContextManager[Progress],
    allow: str | None = None,
    *,
    announce: Callable[[str], None] | None = None,
    rehearse: bool = True,
) -> Publication:
    """Train, export and publish a recipe.

    An interrupted run continues; a finished one is only exported and published again. What could
    fail after training is tried before the first epoch.

    Args:
        recipe: The run's configuration.
        models_dir: The folder of all bundles.
        runs_dir: The folder of all runs' checkpoints.
        progress: Receives the progress of training.
        allow: Reason to publish although gates fail, or None.
        announce: Receives one sentence if another process trains the same run, which is then
            waited for; see ``lock_run``.
        rehearse: Go through every later step on a few rows before training.

    Raises:
        TrainingError: One of its kinds: of folders, recipe, data, training, export, parity or
            gates.
        BundleError: The written bundle does not verify.
    """
    model_dir, run = models_dir / recipe.name, RunFolder(runs_dir, recipe)
    check_model_folder(model_dir)
    check_folder(run.path, 0, "checkpoints")
    with lock_run(run.path, announce), memory_errors_named():
        remove_drafts(run.path)
        data = read_training_data(recipe)
        run.claim_for_data(data.description.sha256)
        if not is_finished(run.history(), recipe.training):
            check_split(recipe, data.split)
            if rehearse:
                needed = rehearse_run(recipe, data)
                check_folder(model_dir, needed.bundle_bytes, "the bundle")
                check_folder(run.path, needed.checkpoint_bytes, "checkpoints")
        model = fit_model(recipe, data, run, progress)
        return publish_model(model, export_model(model), models_dir, run.path, allow)


def train_model(
    recipe: Recipe, runs_dir: Path, progress: AbstractContextManager[Progress]
) -> TrainedModel:
    """Train a recipe from its last checkpoint to the end, without a lock or a rehearsal.

    Args:
        recipe: The run's configuration.
        runs_dir: The folder of all runs' checkpoints.
        progress: Receives the progress of training.

    Raises:
        RecipeError: The recipe does not fit its data.
        DatasetError: The data is not available, or is corrupted.
        TrainingDiverged: The objective is not finite.
        RunCorrupted: A checkpoint cannot be read, or is of another model.
        FolderUnusable: A checkpoint cannot be written; the one before it is kept.
    """
    return fit_model(recipe, read_training_data(recipe), RunFolder(runs_dir, recipe), progress)


def fit_model(
    recipe: Recipe,
    data: TrainingData,
    run: RunFolder,
    progress: AbstractContextManager[Progress],
) -> TrainedModel:
    """Fit the recipe's network to its data, from the last checkpoint to the end.

    Args:
        recipe: The run's configuration.
        data: Its data.
        run: The folder of its checkpoints.
        progress: Receives the progress of training.

    Raises:
        TrainingError: As ``train_model``.
    """
    split, scaling = data.split, data.scaling
    autoencoder = build_autoencoder(recipe, data.description.input.shape, data.categories(recipe))
    train, validation, test = (
        to_numpy(scaling.scale(part.rows))
        for part in (split.train, split.validation, split.normal_test())
    )
    with progress as listener:
        stages = fit_layerwise(autoencoder, recipe, (train, validation), run, listener)
        conditions = (split.train.conditions, split.validation.conditions)
        trainer = Trainer(autoencoder, recipe, train, validation, conditions)
        main_progress = OffsetProgress(listener, len(stages))
        history = fit(trainer, recipe.training, run, main_progress)
    test_terms = trainer.evaluate(test, Stream.TEST_NOISE, split.normal_test().conditions)
    metrics = [
        Metric(
            name="objective",
            value=published_epoch(history, recipe.training).validation_loss,
            split="validation",
            rows=len(validation),
        ),
        Metric(name="objective", value=sum(test_terms.values()), split="test", rows=len(test)),
    ]
    return TrainedModel(
        recipe, data.description, split, scaling, autoencoder, history, metrics, stages
    )


def publish_model(
    model: TrainedModel,
    exported: ExportedModel,
    models_dir: Path,
    failed_dir: Path,
    allow: str | None = None,
) -> Publication:
    """Assess a model, and publish its bundle as the next version if no gate fails.

    Args:
        model: The trained model and its data.
        exported: Its graphs.
        models_dir: The folder of all bundles.
        failed_dir: The folder for the report if a gate fails.
        allow: Reason to waive gates that fail; without one, none is waived.

    Raises:
        RecipeError: A published figure is of a metric that is not measured.
        GatesFailed: A gate failed and was not waived.
        FolderUnusable: The bundle or the report cannot be written.
        BundleError: The written bundle does not verify.
    """
    assessment = assess(model, exported)
    if allow is not None:
        assessment = replace(assessment, gates=waive_gates(assessment.gates, allow))
    report = render_report(model, exported, assessment)
    _check_gates(assessment.gates, report, failed_dir)
    files = bundle_files(model, exported, assessment, report)
    manifest = build_manifest(model, exported, assessment, files)
    location = _publish(models_dir, manifest, files)
    replay_golden(read_bundle(location))
    return Publication(
        location=location,
        metrics=assessment.metrics,
        epochs=manifest.provenance.epochs,
        training_seconds=manifest.provenance.training_seconds,
        parity_error=exported.parity_error,
        size_bytes=sum(path.stat().st_size for path in location.folder.iterdir()),
    )


def _publish(models_dir: Path, manifest: Manifest, files: Mapping[str, bytes]) -> BundleLocation:
    try:
        return publish_bundle(models_dir, manifest, files)
    except OSError as error:
        raise FolderUnusable(
            f"{models_dir / manifest.name} cannot be written: {error.strerror}. Training is"
            " finished and kept: the same command publishes it"
        ) from error


def _check_gates(gates: Iterable[GateResult], report: str, failed_dir: Path) -> None:
    failed = [gate for gate in gates if gate.state == "failed"]
    if not failed:
        return
    page = failed_dir / REPORT_FILE
    write_atomically(page, report.encode())
    findings = "; ".join(f"{gate.name}: {gate.finding}" for gate in failed)
    raise GatesFailed(
        f"not published: {len(failed)} gate{'' if len(failed) == 1 else 's'} failed. {findings}."
        f' See {page}, or publish with --allow "REASON"'
    )
