"""Reported figures are what their names say."""

import math

import numpy as np
import pytest

from service.bundle.manifest import Metric
from training.errors import RecipeError
from training.evaluation.metrics import (
    binary_cross_entropy,
    denoising_metrics,
    detection_metrics,
    false_positive_metrics,
    false_positive_rates,
    mean_squared_error,
    peak_signal_to_noise_ratio,
    reconstruction_metrics,
    rounded_accuracy,
    with_published,
)
from training.recipe.recipe import PublishedFigure


def by_name(metrics: list[Metric]) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}


def test_binary_cross_entropy_is_its_definition() -> None:
    generator = np.random.default_rng(0)
    targets, outputs = generator.random((2, 7, 4, 4, 1), dtype=np.float32)
    expected = [
        -(t * math.log(p) + (1 - t) * math.log(1 - p))
        for t, p in zip(targets.ravel().tolist(), outputs.ravel().tolist(), strict=True)
    ]
    assert binary_cross_entropy(targets, outputs) == pytest.approx(sum(expected) / len(expected))


def test_binary_cross_entropy_of_a_certain_mistake_is_finite() -> None:
    wrong = binary_cross_entropy(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32))
    assert wrong == pytest.approx(-math.log(1e-7))


def test_squares_do_not_lose_small_differences_in_single_precision() -> None:
    targets = np.full((100_000, 10), 1000.0, np.float32)
    assert mean_squared_error(targets, targets + np.float32(0.5)) == pytest.approx(0.25)


def test_rounded_accuracy_counts_equal_halves() -> None:
    targets = np.array([[0.1, 0.9, 0.8, 0.2]], np.float32)
    outputs = np.array([[0.4, 0.6, 0.3, 0.1]], np.float32)
    assert rounded_accuracy(targets, outputs) == 0.75


def test_psnr_is_averaged_over_images_in_decibels() -> None:
    targets = np.zeros((2, 2, 2, 1), np.float32)
    outputs = np.stack([np.full((2, 2, 1), 0.1), np.full((2, 2, 1), 0.01)]).astype(np.float32)
    assert peak_signal_to_noise_ratio(targets, outputs) == pytest.approx((20 + 40) / 2, abs=1e-3)


def test_rows_that_are_not_images_have_no_cross_entropy() -> None:
    rows = np.ones((3, 2), np.float32)
    assert by_name(reconstruction_metrics("test", rows, rows, unit_range=False)) == {
        "mean-squared-error": 0.0
    }


def test_denoising_is_reported_beside_the_noise() -> None:
    clean = np.random.default_rng(1).random((4, 12, 12, 1), dtype=np.float32)
    figures = by_name(denoising_metrics(clean, np.clip(clean + 0.3, 0, 1), clean))
    assert figures["denoised-psnr-db"] > figures["noisy-psnr-db"]
    assert figures["denoised-ssim"] == pytest.approx(1, abs=1e-5)
    assert figures["noisy-ssim"] < 1


def test_a_bundle_is_measured_at_its_own_rate_at_0_01_and_at_0_05() -> None:
    assert false_positive_rates(0.02) == [0.01, 0.02, 0.05]
    assert false_positive_rates(0.05) == [0.01, 0.05]


def test_flagged_normal_rows_are_counted_strictly_above_the_threshold() -> None:
    calibration = np.arange(1.0, 100.0)
    scores = np.array([94.0, 95.0, 96.0, 200.0])
    figures = by_name(false_positive_metrics(scores, calibration, [0.05, 0.001]))
    assert figures == {"false-positive-rate-at-0.05": 0.5, "false-positive-rate-at-0.001": 0.0}


def test_detection_is_counted_from_hits_misses_and_false_alarms() -> None:
    calibration = np.arange(1.0, 100.0)
    scores = np.array([10.0, 97.0, 20.0, 99.0, 98.0, 50.0])
    abnormal = np.array([False, False, False, True, True, True])
    figures = by_name(detection_metrics(scores, abnormal, calibration, [0.05]))
    assert figures["auroc"] == pytest.approx(8 / 9)
    assert figures["accuracy-at-0.05"] == pytest.approx(4 / 6)
    assert figures["recall-at-0.05"] == pytest.approx(2 / 3)
    assert figures["f1-at-0.05"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_a_published_figure_stands_beside_the_measured_one() -> None:
    measured = Metric(name="auroc", value=0.97, split="test", rows=5)
    figure = PublishedFigure(metric="auroc", split="test", value=0.96, note="others")
    (merged,) = with_published([measured], [figure])
    assert (merged.value, merged.published, merged.note) == (0.97, 0.96, "others")


def test_a_published_figure_that_is_not_measured_is_rejected() -> None:
    measured = Metric(name="auroc", value=0.97, split="test", rows=5)
    figure = PublishedFigure(metric="auroc", split="validation", value=0.96)
    with pytest.raises(RecipeError, match=r"auroc \(validation\) is not measured"):
        with_published([measured], [figure])
