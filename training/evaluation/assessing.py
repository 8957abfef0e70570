"""Measure a trained model through its exported graphs."""

from collections.abc import Iterable

from service.bundle.manifest import Metric
from training.arrays import FloatArray, Scores
from training.evaluation.assessment import Assessment, GateResult, HeldOutResults
from training.evaluation.calibration import calibrate
from training.evaluation.gates import evaluate_gates, is_linear
from training.evaluation.linear_baseline import fit_linear_baseline, principal_angle_degrees
from training.evaluation.metrics import (
    denoising_metrics,
    detection_metrics,
    false_positive_metrics,
    false_positive_rates,
    reconstruction_metrics,
    with_published,
)
from training.export.exported_model import ExportedModel
from training.fitting.trained_model import TrainedModel
from training.seeds import Stream
from training.tensors import to_numpy


def assess(model: TrainedModel, exported: ExportedModel) -> Assessment:
    """Calibrate, then measure on test rows.

    Args:
        model: The trained model and its data.
        exported: Its graphs.

    Raises:
        RecipeError: A published figure is of a metric that is not measured.
    """
    recipe, split = model.recipe, model.split
    calibration = {
        score: calibrate(exported, score, split.calibration) for score in recipe.anomaly.scores
    }
    results = _run_test_rows(model, exported)
    gates = evaluate_gates(model, exported, results)
    metrics = [
        *model.metrics,
        *_validation_metrics(model, exported),
        *_test_metrics(model, results, calibration[recipe.anomaly.scores[0]]),
        *_learning_metrics(model, results, gates),
    ]
    published = with_published(metrics, recipe.published)
    return Assessment(calibration, results, published, gates)


def _run_test_rows(model: TrainedModel, exported: ExportedModel) -> HeldOutResults:
    rows, conditions = model.split.test.rows, model.split.test.conditions
    codes = exported.encode(rows, conditions)
    corrupted = _corrupt(model, rows) if model.recipe.corruption else None
    return HeldOutResults(
        abnormal=model.split.abnormal_test_rows(),
        codes=codes,
        reconstructions=exported.decode(codes, conditions),
        scores={
            score: exported.score(score, rows, conditions) for score in model.recipe.anomaly.scores
        },
        corrupted=corrupted,
        denoised=None if corrupted is None else exported.reconstruct(corrupted, conditions),
    )


def _corrupt(model: TrainedModel, rows: FloatArray) -> FloatArray:
    """Corrupt raw rows with the noise of training, from a stream that no epoch uses."""
    model.autoencoder.reseed(model.recipe.seed, Stream.TEST_NOISE)
    corrupted = model.autoencoder.corrupt(model.scaling.scale(rows))
    return to_numpy(model.scaling.unscale(corrupted))


def _validation_metrics(model: TrainedModel, exported: ExportedModel) -> list[Metric]:
    part = model.split.validation
    reconstructions = exported.reconstruct(part.rows, part.conditions)
    return reconstruction_metrics(
        "validation", part.rows, reconstructions, unit_range=_is_image(model)
    )


def _test_metrics(
    model: TrainedModel, results: HeldOutResults, calibration: Scores
) -> list[Metric]:
    rows, normal = model.split.test.rows, ~results.abnormal
    rates = false_positive_rates(model.recipe.anomaly.default_false_positive_rate)
    scores = results.scores[model.recipe.anomaly.scores[0]]
    metrics = reconstruction_metrics(
        "test", rows[normal], results.reconstructions[normal], unit_range=_is_image(model)
    )
    metrics += false_positive_metrics(scores[normal], calibration, rates)
    if results.abnormal.any():
        metrics += detection_metrics(scores, results.abnormal, calibration, rates)
    if _is_image(model) and results.corrupted is not None and results.denoised is not None:
        metrics += denoising_metrics(rows, results.corrupted, results.denoised)
    return metrics


def _learning_metrics(
    model: TrainedModel, results: HeldOutResults, gates: Iterable[GateResult]
) -> list[Metric]:
    """Return the figures of the gates and, of a linear network, its principal angle to PCA."""
    outputs = results.reconstructions[~results.abnormal]
    figures = {gate.name: gate.measured for gate in gates}
    if is_linear(model.recipe):
        flat_rows = model.split.train.rows.reshape(len(model.split.train), -1)
        baseline = fit_linear_baseline(flat_rows, results.codes[0].size)
        flat_outputs = outputs.reshape(len(outputs), -1)
        figures["principal-angle-degrees"] = principal_angle_degrees(flat_outputs, baseline)
    return [
        Metric(name=name, value=value, split="test", rows=len(outputs))
        for name, value in figures.items()
    ]


def _is_image(model: TrainedModel) -> bool:
    return model.data.input.kind == "image"
