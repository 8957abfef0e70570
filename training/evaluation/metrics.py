"""Metrics of reconstruction, denoising and anomaly detection."""

from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score

from service.bundle.manifest import Metric
from service.inference.scoring import threshold_at
from training.arrays import FloatArray, Scores
from training.errors import RecipeError
from training.recipe.recipe import MetricSplit, PublishedFigure

# Keras's bound on probabilities in a logarithm, which published figures were computed with.
PROBABILITY_MARGIN = 1e-7

ALWAYS_MEASURED_RATES = (0.01, 0.05)

Mask = NDArray[np.bool_]


def binary_cross_entropy(targets: FloatArray, outputs: FloatArray) -> float:
    """Mean binary cross-entropy per value in nats, of targets in [0, 1] against probabilities."""
    probabilities = np.clip(
        outputs.astype(np.float64), PROBABILITY_MARGIN, 1.0 - PROBABILITY_MARGIN
    )
    entropies = targets * np.log(probabilities) + (1.0 - targets) * np.log1p(-probabilities)
    return float(-entropies.mean())


def mean_squared_error(targets: FloatArray, outputs: FloatArray) -> float:
    """Mean squared difference per value, in squared raw units."""
    return float(np.square(targets - outputs, dtype=np.float64).mean())


def rounded_accuracy(targets: FloatArray, outputs: FloatArray) -> float:
    """Share of values in [0, 1] that round to the same of 0 and 1."""
    return float((np.round(targets) == np.round(outputs)).mean())


def peak_signal_to_noise_ratio(targets: FloatArray, outputs: FloatArray) -> float:
    """Mean over images of the PSNR in dB, for values in [0, 1]."""
    per_image = np.square(targets - outputs, dtype=np.float64).mean(axis=(1, 2, 3))
    return float((-10.0 * np.log10(np.maximum(per_image, 1e-12))).mean())


def structural_similarity(targets: FloatArray, outputs: FloatArray) -> float:
    """Mean structural similarity of images with values in [0, 1].

    Source: Wang et al., Image quality assessment: from error visibility to structural
        similarity, IEEE Transactions on Image Processing 2004.
    """
    window = min(11, *targets.shape[1:3])
    per_image = tf.image.ssim(targets, outputs, max_val=1.0, filter_size=window)
    return float(tf.reduce_mean(per_image))


def reconstruction_metrics(
    split: MetricSplit, rows: FloatArray, reconstructions: FloatArray, *, unit_range: bool
) -> list[Metric]:
    """Compare rows with their reconstructions.

    Args:
        split: The part of the data that the rows are from.
        rows: Raw units, (rows, *row shape).
        reconstructions: The same shape.
        unit_range: Values are in [0, 1]: cross-entropy and rounded accuracy are measured too.
    """
    figures = {"mean-squared-error": mean_squared_error(rows, reconstructions)}
    if unit_range:
        figures["binary-cross-entropy"] = binary_cross_entropy(rows, reconstructions)
        figures["rounded-accuracy"] = rounded_accuracy(rows, reconstructions)
    return _metrics(figures, split, len(rows))


def denoising_metrics(clean: FloatArray, noisy: FloatArray, denoised: FloatArray) -> list[Metric]:
    """Compare clean test images with noisy and with denoised ones.

    Args:
        clean: Images, (rows, height, width, channels), values in [0, 1].
        noisy: The same images with the noise of training.
        denoised: Reconstructions of the noisy images.
    """
    figures = {
        "denoised-binary-cross-entropy": binary_cross_entropy(clean, denoised),
        "noisy-psnr-db": peak_signal_to_noise_ratio(clean, noisy),
        "denoised-psnr-db": peak_signal_to_noise_ratio(clean, denoised),
        "noisy-ssim": structural_similarity(clean, noisy),
        "denoised-ssim": structural_similarity(clean, denoised),
    }
    return _metrics(figures, "test", len(clean))


def false_positive_rates(default: float) -> list[float]:
    """List the false-positive rates that are measured: the bundle's default, 0.01 and 0.05."""
    return sorted({*ALWAYS_MEASURED_RATES, default})


def false_positive_metrics(
    scores: Scores, calibration: Scores, rates: Iterable[float]
) -> list[Metric]:
    """Measure how often normal test rows are flagged at requested false-positive rates.

    Args:
        scores: Of normal test rows, (rows,).
        calibration: Ascending, (n,).
        rates: Requested false-positive rates.
    """
    metrics: list[Metric] = []
    for rate in rates:
        threshold = threshold_at(rate, calibration)
        flagged = 0.0 if threshold is None else float((scores > threshold).mean())
        metrics += _metrics({f"false-positive-rate-at-{rate:g}": flagged}, "test", len(scores))
    return metrics


def detection_metrics(
    scores: Scores, abnormal: Mask, calibration: Scores, rates: Iterable[float]
) -> list[Metric]:
    """Measure how well a score separates abnormal test rows from normal ones.

    Args:
        scores: Of all test rows, (rows,).
        abnormal: Which of them are anomalies, (rows,); at least one is, and at least one is not.
        calibration: Scores of normal rows, ascending, (n,).
        rates: False-positive rates of the thresholds.
    """
    figures = {"auroc": float(roc_auc_score(abnormal, scores))}
    for rate in rates:
        threshold = threshold_at(rate, calibration)
        flagged = np.zeros_like(abnormal) if threshold is None else scores > threshold
        figures[f"accuracy-at-{rate:g}"] = float((flagged == abnormal).mean())
        figures[f"recall-at-{rate:g}"] = float(flagged[abnormal].mean())
        figures[f"f1-at-{rate:g}"] = float(f1_score(abnormal, flagged))
    return _metrics(figures, "test", len(scores))


def with_published(metrics: Iterable[Metric], published: Iterable[PublishedFigure]) -> list[Metric]:
    """Add the figures that others report to the measured ones.

    Raises:
        RecipeError: A published figure is of a metric that this recipe does not measure.
    """
    merged: dict[tuple[str, str], Metric] = {(m.name, m.split): m for m in metrics}
    for figure in published:
        key = (figure.metric, figure.split)
        if key not in merged:
            known = ", ".join(f"{name} ({split})" for name, split in merged)
            raise RecipeError(
                f"published: {figure.metric} ({figure.split}) is not measured; measured are {known}"
            )
        merged[key] = merged[key].model_copy(
            update={"published": figure.value, "note": figure.note}
        )
    return list(merged.values())


def _metrics(figures: Mapping[str, float], split: MetricSplit, rows: int) -> list[Metric]:
    return [
        Metric(name=name, value=value, split=split, rows=rows) for name, value in figures.items()
    ]
