"""What is measured once the weights are final, through the graphs that will be served."""

from service.bundle.manifest import Metric
from service.inference.scoring import Scores
from service.inference.session import FloatArray
from training.calibration import calibrate
from training.latent_density import fit_code_density
from training.metrics import (
    denoising_metrics,
    detection_metrics,
    false_positive_metrics,
    false_positive_rates,
    reconstruction_metrics,
    with_published,
)
from training.seeds import Stream
from training.stages import Assessment, ExportedModel, HeldOutAnswers, TrainedModel
from training.tensors import to_numpy


def assess(model: TrainedModel, exported: ExportedModel) -> Assessment:
    """Fit the code density, calibrate, then measure on test rows, in this order.

    Args:
        model: The trained model and its data.
        exported: Its graphs.

    Raises:
        RecipeError: A published figure is of a metric that is not measured.
    """
    recipe, split = model.recipe, model.split
    density = fit_code_density(
        exported.encode(split.train.rows),
        exported.encode(split.validation.rows),
        recipe.code_density,
        recipe.seed,
    )
    calibration = {
        score: calibrate(exported, score, split.calibration.rows) for score in recipe.anomaly.scores
    }
    answers = _answer_test_rows(model, exported)
    metrics = [
        *model.metrics,
        *_validation_metrics(model, exported),
        *_test_metrics(model, answers, calibration[recipe.anomaly.scores[0]]),
    ]
    return Assessment(density, calibration, answers, with_published(metrics, recipe.published))


def _answer_test_rows(model: TrainedModel, exported: ExportedModel) -> HeldOutAnswers:
    rows = model.split.test.rows
    codes = exported.encode(rows)
    corrupted = _corrupt(model, rows) if model.recipe.corruption else None
    return HeldOutAnswers(
        abnormal=model.split.abnormal_test_rows(),
        codes=codes,
        outputs=exported.decode(codes),
        scores={score: exported.score(score, rows) for score in model.recipe.anomaly.scores},
        corrupted=corrupted,
        denoised=None if corrupted is None else exported.reconstruct(corrupted),
    )


def _corrupt(model: TrainedModel, rows: FloatArray) -> FloatArray:
    """Put the noise of training on raw rows, from a stream that no epoch has used."""
    model.autoencoder.reseed(model.recipe.seed, Stream.TEST_NOISE)
    corrupted = model.autoencoder.corrupt(model.scaling.scale(rows))
    return to_numpy(model.scaling.unscale(corrupted))


def _validation_metrics(model: TrainedModel, exported: ExportedModel) -> list[Metric]:
    rows = model.split.validation.rows
    return reconstruction_metrics(
        "validation", rows, exported.reconstruct(rows), unit_range=_is_image(model)
    )


def _test_metrics(
    model: TrainedModel, answers: HeldOutAnswers, calibration: Scores
) -> list[Metric]:
    rows, normal = model.split.test.rows, ~answers.abnormal
    rates = false_positive_rates(model.recipe.anomaly.default_false_positive_rate)
    scores = answers.scores[model.recipe.anomaly.scores[0]]
    metrics = reconstruction_metrics(
        "test", rows[normal], answers.outputs[normal], unit_range=_is_image(model)
    )
    metrics += false_positive_metrics(scores[normal], calibration, rates)
    if answers.abnormal.any():
        metrics += detection_metrics(scores, answers.abnormal, calibration, rates)
    if _is_image(model) and answers.corrupted is not None and answers.denoised is not None:
        metrics += denoising_metrics(rows, answers.corrupted, answers.denoised)
    return metrics


def _is_image(model: TrainedModel) -> bool:
    return model.dataset.input.kind == "image"
