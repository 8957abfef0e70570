"""The steps from a recipe to a published bundle: train, export, publish.

Weights are fitted to training rows. Validation rows decide scaling constants, the published epoch
and the size of the mixture. Calibration rows are used once all that is fixed. Test rows give the
figures.

Example, as the command ``latentserve-train train digits-stacked`` runs:
    ``recipe = load_recipe("digits-stacked")``
    ``progress = show_progress(Console(), recipe.max_epochs)``
    ``train_and_publish(recipe, Path("models"), Path("runs"), progress)``
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from service.bundle.manifest import REPORT_FILE, Metric
from service.bundle.storage import BundleLocation, publish_bundle, read_bundle
from service.catalog.verification import replay_golden
from training.data.scaling import fit_scaling
from training.data.source import DataDescription
from training.data.source_registry import recipe_source
from training.data.splitting import Split, split_source
from training.errors import GatesFailed
from training.evaluation.assessing import assess
from training.evaluation.assessment import GateResult
from training.evaluation.gates import waive_gates
from training.export.code_density import code_density
from training.export.conversion import export_graph
from training.export.exported_model import ExportedModel
from training.export.fitted_scorer import fit_scorers
from training.export.graph_functions import graph_functions
from training.export.graph_runner import GraphRunner
from training.export.parity import check_parity
from training.export.scorer_registry import scorer_named
from training.fitting.checkpoints import RunFolder
from training.fitting.history import published_epoch
from training.fitting.layerwise import fit_layerwise
from training.fitting.progress import OffsetProgress, Progress
from training.fitting.trained_model import TrainedModel
from training.fitting.trainer import Trainer, fit
from training.networks.building import build_autoencoder
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
) -> Publication:
    """Train, export and publish a recipe.

    An interrupted run continues; a finished one is only exported and published again.

    Args:
        recipe: The run's configuration.
        models_dir: The folder of all bundles.
        runs_dir: The folder of all runs' checkpoints.
        progress: Receives the progress of training.
        allow: Reason to publish although gates fail, or None.

    Raises:
        TrainingError: One of its kinds: of recipe, data, training, export, parity or gates.
        BundleError: The written bundle does not verify.
    """
    model = train_model(recipe, runs_dir, progress)
    run_dir = RunFolder(runs_dir, recipe).path
    return publish_model(model, export_model(model), models_dir, run_dir, allow)


def train_model(
    recipe: Recipe, runs_dir: Path, progress: AbstractContextManager[Progress]
) -> TrainedModel:
    """Train a recipe from its last checkpoint to the end.

    Args:
        recipe: The run's configuration.
        runs_dir: The folder of all runs' checkpoints.
        progress: Receives the progress of training.

    Raises:
        RecipeError: The recipe does not fit its data.
        DatasetError: The data is not available, or is corrupted.
        TrainingDiverged: The objective is not finite.
        RunCorrupted: A checkpoint cannot be read, or is of another model.
    """
    for score in recipe.anomaly.scores:
        scorer_named(score)  # reject an unknown score before training
    data, split = _read_data(recipe)
    scaling = fit_scaling(recipe.data.scaling, split.validation.rows)
    categories = len(data.classes) if recipe.data.conditions else 0
    autoencoder = build_autoencoder(recipe, data.input.shape, categories)
    train, validation, test = (
        to_numpy(scaling.scale(part.rows))
        for part in (split.train, split.validation, split.normal_test())
    )
    run = RunFolder(runs_dir, recipe)
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
    return TrainedModel(recipe, data, split, scaling, autoencoder, history, metrics, stages)


def _read_data(recipe: Recipe) -> tuple[DataDescription, Split]:
    """Describe and split the data; what the source has in memory is released afterwards."""
    source = recipe_source(recipe)
    return source.describe(), split_source(source, recipe.data, recipe.seed)


def export_model(model: TrainedModel) -> ExportedModel:
    """Fit code density and scorers, export every graph, and compare each with Keras.

    Raises:
        RecipeError: The recipe names an unknown score.
        ExportFailed: A Keras function cannot be converted.
        ParityMismatch: A graph does not compute what Keras computes.
    """
    density = code_density(model)
    functions = graph_functions(
        model.autoencoder,
        model.scaling,
        model.data.input.shape,
        fit_scorers(model, density.mixture),
    )
    graphs = {graph.name: (graph.signature, export_graph(graph)) for graph in functions}
    exported = ExportedModel(graphs, density, GraphRunner(graphs), parity_error=0.0)
    validation = model.split.validation
    inputs = exported.graph_inputs(validation.rows, validation.conditions)
    deviations = [
        check_parity(graph, exported.runner.sessions[graph.name], *inputs[graph.name])
        for graph in functions
    ]
    return replace(exported, parity_error=max(deviations))


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
        BundleError: The written bundle does not verify.
    """
    assessment = assess(model, exported)
    if allow is not None:
        assessment = replace(assessment, gates=waive_gates(assessment.gates, allow))
    report = render_report(model, exported, assessment)
    _check_gates(assessment.gates, report, failed_dir)
    files = bundle_files(model, exported, assessment, report)
    manifest = build_manifest(model, exported, assessment, files)
    location = publish_bundle(models_dir, manifest, files)
    replay_golden(read_bundle(location))
    return Publication(
        location=location,
        metrics=assessment.metrics,
        epochs=manifest.provenance.epochs,
        training_seconds=manifest.provenance.training_seconds,
        parity_error=exported.parity_error,
        size_bytes=sum(path.stat().st_size for path in location.folder.iterdir()),
    )


def _check_gates(gates: Iterable[GateResult], report: str, failed_dir: Path) -> None:
    failed = [gate for gate in gates if gate.state == "failed"]
    if not failed:
        return
    failed_dir.mkdir(parents=True, exist_ok=True)
    page = failed_dir / REPORT_FILE
    page.write_text(report, encoding="utf-8")
    findings = "; ".join(f"{gate.name}: {gate.finding}" for gate in failed)
    raise GatesFailed(
        f"not published: {len(failed)} gate{'' if len(failed) == 1 else 's'} failed. {findings}."
        f' See {page}, or publish with --allow "REASON"'
    )
