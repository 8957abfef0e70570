"""From a recipe to a published bundle.

Weights come first; validation rows decide scaling, epoch and mixture size; calibration rows are
looked at once all that is fixed; test rows give the figures.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from service.bundle.manifest import REPORT_FILE, Metric
from service.bundle.storage import BundleLocation, publish_bundle, read_bundle
from service.inference.verification import replay_golden
from training.data.datasets import load_dataset
from training.data.scaling import fit_scaling
from training.data.splitting import split_dataset
from training.errors import GatesRefused
from training.evaluation.assessing import assess
from training.evaluation.assessment import GateResult
from training.evaluation.gates import waive
from training.export.conversion import export_graph
from training.export.exported_model import ExportedModel
from training.export.graph_functions import graph_functions
from training.export.graph_runner import GraphRunner
from training.export.parity import check_parity
from training.export.scorers import scorer_named
from training.fitting.checkpoints import RunFolder
from training.fitting.history import published_epoch
from training.fitting.layerwise import fit_layerwise
from training.fitting.progress import Progress, ShiftedProgress
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
    """Where a bundle lies and what it is worth.

    Attributes:
        location: Its folder.
        metrics: All figures, those that others publish beside them.
        epochs: How many were trained.
        training_seconds: How long they took.
        parity_error: Largest deviation of a graph from Keras.
        size_bytes: Of all files together.
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
    """Make the bundle of a recipe.

    A run that was interrupted continues; one that was finished is only exported again.

    Args:
        recipe: The run's configuration.
        models_dir: The folder of all bundles.
        runs_dir: The folder of all runs' checkpoints.
        progress: Told how far training is.
        allow: Why a model that did not learn as it should is published all the same, or None.

    Raises:
        TrainingError: One of its kinds: of recipe, data, training, export, parity or gates.
        BundleError: What was written does not read back as what was meant.
    """
    model = train_model(recipe, runs_dir, progress)
    refusals_dir = RunFolder(runs_dir, recipe).path
    return publish_model(model, export_model(model), models_dir, refusals_dir, allow)


def train_model(
    recipe: Recipe, runs_dir: Path, progress: AbstractContextManager[Progress]
) -> TrainedModel:
    """Train a recipe to its end, or from where an earlier run of it was left.

    Args:
        recipe: The run's configuration.
        runs_dir: The folder of all runs' checkpoints.
        progress: Told how far training is.

    Raises:
        RecipeError: The recipe does not fit its data.
        DatasetError: The data is not to be had, or not what it should be.
        TrainingDiverged: The objective is not finite.
        RunCorrupted: The run's folder holds something else.
    """
    for score in recipe.anomaly.scores:
        scorer_named(score)  # a score that there is not is refused before training, not after
    dataset = load_dataset(recipe.data.dataset, recipe.seed)
    split = split_dataset(dataset, recipe.data, recipe.seed)
    scaling = fit_scaling(recipe.data.scaling, split.validation.rows)
    categories = len(dataset.classes) if recipe.data.conditions else 0
    autoencoder = build_autoencoder(recipe, dataset.input.shape, categories)
    train, validation, test = (
        to_numpy(scaling.scale(part.rows))
        for part in (split.train, split.validation, split.normal_test())
    )
    run = RunFolder(runs_dir, recipe)
    with progress as listener:
        stages = fit_layerwise(autoencoder, recipe, (train, validation), run, listener)
        conditions = (split.train.conditions, split.validation.conditions)
        trainer = Trainer(autoencoder, recipe, train, validation, conditions)
        later = ShiftedProgress(listener, len(stages))
        history = fit(trainer, recipe.training, run, later)
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
    return TrainedModel(recipe, dataset, split, scaling, autoencoder, history, metrics, stages)


def export_model(model: TrainedModel) -> ExportedModel:
    """Turn a trained model into graphs, and compare each with Keras on validation rows.

    Raises:
        RecipeError: The recipe names a score that there is not.
        ExportFailed: A function cannot be turned into a graph of the bundle's form.
        ParityMismatch: A graph does not compute what Keras computes.
    """
    functions = graph_functions(
        model.autoencoder,
        model.scaling,
        model.dataset.input.shape,
        model.recipe.anomaly.scores,
    )
    graphs = {graph.name: (graph.signature, export_graph(graph)) for graph in functions}
    exported = ExportedModel(graphs, GraphRunner(graphs), parity_error=0.0)
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
    refusals_dir: Path,
    allow: str | None = None,
) -> Publication:
    """Measure a model, and write its bundle as the next version if it learned.

    Args:
        model: The trained model and its data.
        exported: Its graphs.
        models_dir: The folder of all bundles.
        refusals_dir: The folder that the report of a refused model goes into.
        allow: Why gates that refuse are waived; without a reason, none is.

    Raises:
        RecipeError: A published figure is of a metric that is not measured.
        GatesRefused: The model did not learn, and no reason was given.
        BundleError: What was written does not read back as what was meant.
    """
    assessment = assess(model, exported)
    if allow is not None:
        assessment = replace(assessment, gates=waive(assessment.gates, allow))
    report = render_report(model, exported, assessment)
    _refuse_what_did_not_learn(assessment.gates, report, refusals_dir)
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


def _refuse_what_did_not_learn(
    gates: Iterable[GateResult], report: str, refusals_dir: Path
) -> None:
    refused = [gate for gate in gates if gate.state == "refused"]
    if not refused:
        return
    refusals_dir.mkdir(parents=True, exist_ok=True)
    page = refusals_dir / REPORT_FILE
    page.write_text(report, encoding="utf-8")
    findings = "; ".join(f"{gate.name}: {gate.finding}" for gate in refused)
    raise GatesRefused(
        f"not published, the network did not learn what it should. {findings}. See {page}, or"
        ' publish it all the same with --allow "REASON"'
    )
