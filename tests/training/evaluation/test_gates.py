"""Every gate fails for what it detects, and passes a network that learned."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from typer.testing import CliRunner

from service.bundle.storage import read_bundle
from tests.training.recipes import NoProgress
from training.__main__ import app
from training.errors import GatesFailed
from training.evaluation.active_units import divergence_by_dimension, varying_units
from training.evaluation.assessment import GateResult
from training.evaluation.gates import (
    denoising,
    explained_variance,
    generalization_gap,
    is_linear,
    linear_comparison,
    score_variation,
    waive_gates,
)
from training.fitting.progress import Progress
from training.fitting.trained_model import TrainedModel
from training.pipeline import export_model, publish_model, train_and_publish, train_model
from training.recipe.files import load_recipe

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def no_progress() -> AbstractContextManager[Progress]:
    return nullcontext(NoProgress())


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def learned(runs_dir: Path) -> TrainedModel:
    return train_model(
        load_recipe("digits-stacked", ["training.epochs=12"]), runs_dir, no_progress()
    )


def failure(recipe: str, overrides: list[str], runs_dir: Path, models_dir: Path) -> str:
    with pytest.raises(GatesFailed) as error:
        train_and_publish(load_recipe(recipe, overrides), models_dir, runs_dir, no_progress())
    assert list(models_dir.iterdir()) == []
    return str(error.value)


@pytest.mark.slow
def test_a_network_that_was_not_trained_fails(runs_dir: Path, tmp_path: Path) -> None:
    untrained = ["training.epochs=1", "training.optimizer.learning_rate=1e-12"]
    assert "explained-variance" in failure("digits-stacked", untrained, runs_dir, tmp_path)


@pytest.mark.slow
def test_a_posterior_that_collapsed_onto_the_prior_fails(runs_dir: Path, tmp_path: Path) -> None:
    collapsed = ["training.epochs=4", "objective.kl_weight=1000"]
    message = failure("digits-vae", collapsed, runs_dir, tmp_path)
    assert "active-unit-share: 0 of 2 code units diverge from the prior" in message


@pytest.mark.slow
def test_a_network_that_memorized_twenty_five_rows_fails(runs_dir: Path, tmp_path: Path) -> None:
    few = ["data.test_rows=1300", "data.calibration_rows=272", "training.epochs=150"]
    memorized = [*few, "training.early_stopping.patience_epochs=150"]
    message = failure("digits-stacked", memorized, runs_dir, tmp_path)
    assert "generalization-gap" in message
    assert "on 25 training rows" in message


@pytest.mark.slow
def test_a_network_that_learned_is_published_and_its_gates_are_among_the_figures(
    learned: TrainedModel, tmp_path: Path
) -> None:
    exported = export_model(learned)
    published = publish_model(learned, exported, tmp_path, tmp_path, "a reason that is not needed")
    manifest = read_bundle(published.location).manifest
    assert manifest.provenance.gates_waived == {}
    figures = {metric.name: metric.value for metric in manifest.metrics if metric.split == "test"}
    assert figures["error-over-pca"] < 1
    assert figures["active-unit-share"] == 1
    assert 0.5 < figures["explained-variance"] < 1
    assert figures["generalization-gap"] == pytest.approx(1, abs=0.3)


@pytest.fixture
def half_inactive(learned: TrainedModel) -> Iterator[TrainedModel]:
    """The network that learned, with half of its code units made constant."""
    code_layer = learned.autoencoder.encoder.layers[-1]
    kernel, bias = code_layer.get_weights()
    cut = kernel.copy()
    cut[:, :4] = 0
    code_layer.set_weights([cut, bias])
    yield learned
    code_layer.set_weights([kernel, bias])


@pytest.mark.slow
def test_a_code_of_inactive_units_fails_unless_there_is_a_reason(
    half_inactive: TrainedModel, tmp_path: Path
) -> None:
    exported, models, failed = export_model(half_inactive), tmp_path / "models", tmp_path / "failed"
    with pytest.raises(GatesFailed, match="active-unit-share: 4 of 8 code units vary") as error:
        publish_model(half_inactive, exported, models, failed)
    page = failed / "report.html"
    assert str(page) in str(error.value)
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert not models.exists()

    published = publish_model(half_inactive, exported, models, failed, "half a code is enough here")
    manifest = read_bundle(published.location).manifest
    assert manifest.provenance.gates_waived["active-unit-share"] == "half a code is enough here"
    assert "score-variation" not in manifest.provenance.gates_waived
    figures = {(metric.name, metric.split): metric.value for metric in manifest.metrics}
    assert figures["active-unit-share", "test"] == 0.5


def comparison(model: TrainedModel, error: float, **terms: float) -> GateResult:
    """Compare with PCA of error 1 a model that had these terms beside the reconstruction."""
    record = replace(model.history[-1], training={"reconstruction": 1.0, **terms})
    return linear_comparison(replace(model, history=[record]), error, 1.0, components=8)


def test_a_network_no_better_than_pca_fails(learned: TrainedModel) -> None:
    assert comparison(learned, 0.99).state == "passed"
    assert comparison(learned, 1.0).state == "failed"


def test_a_linear_network_may_equal_pca(learned: TrainedModel) -> None:
    linear = replace(learned, recipe=load_recipe("sine-linear"))
    assert comparison(linear, 1.04).state == "passed"
    assert comparison(linear, 1.06).state == "failed"


def test_the_comparison_with_pca_is_informative_for_a_code_under_a_penalty(
    learned: TrainedModel,
) -> None:
    found = comparison(learned, 3.0, contractive=0.1)
    assert found.state == "informative"
    assert "penalty (contractive)" in found.finding


def test_a_network_is_linear_when_all_its_layers_are() -> None:
    assert is_linear(load_recipe("plane-pca"))
    assert not is_linear(load_recipe("sine-deep"))
    assert not is_linear(load_recipe("digits-stacked"))


def test_denoising_that_leaves_more_error_than_the_noise_fails() -> None:
    assert denoising(0.3, 0.2).state == "failed"
    assert denoising(0.1, 0.2).measured == pytest.approx(0.5)
    assert denoising(0.1, 0.2).state == "passed"


def test_an_empty_reason_is_not_a_waiver() -> None:
    outcome = CliRunner().invoke(app, ["train", "digits-stacked", "--allow", " "])
    assert outcome.exit_code == 2
    assert "expected a reason" in outcome.output


def test_scores_that_are_all_equal_fail() -> None:
    assert score_variation(np.full(50, 0.3)).state == "failed"
    assert score_variation(np.zeros(50)).state == "failed"
    assert score_variation(np.linspace(0.3, 0.4, 50)).state == "passed"


def test_a_score_of_nan_fails() -> None:
    assert score_variation(np.full(50, np.nan)).state == "failed"


def test_the_training_mean_explains_nothing() -> None:
    assert explained_variance(0.2, 0.2).measured == 0
    assert explained_variance(0.2, 0.2).state == "failed"
    assert explained_variance(0.05, 0.2).measured == pytest.approx(0.75)
    assert explained_variance(0.05, 0.2).state == "passed"


def test_equal_errors_are_not_a_gap_and_threefold_ones_are() -> None:
    errors = np.random.default_rng(0).uniform(0.9, 1.1, 1000)
    assert generalization_gap(errors, errors).measured == pytest.approx(1)
    assert generalization_gap(errors, errors).state == "passed"
    assert generalization_gap(errors, 3 * errors).state == "failed"
    assert generalization_gap(np.zeros(25), errors).state == "failed"


def test_chance_among_few_rows_is_seldom_taken_for_a_gap() -> None:
    generator = np.random.default_rng(1)
    states = [
        generalization_gap(generator.chisquare(1, 30), generator.chisquare(1, 20)).state
        for _ in range(2000)
    ]
    assert states.count("failed") / len(states) < 0.01


def test_a_unit_is_active_if_it_varies_with_the_row() -> None:
    codes = np.random.default_rng(2).standard_normal((500, 4)).astype(np.float32)
    codes *= np.array([1, 5, 1e-4, 0], np.float32)
    codes += np.array([0, 100, 3, 7], np.float32)
    assert varying_units(codes).tolist() == [True, True, False, False]


def test_a_code_that_is_the_same_for_every_row_has_no_active_unit() -> None:
    assert not varying_units(np.full((100, 3), 0.25, np.float32)).any()


def test_a_channel_counts_once_however_many_positions_it_has() -> None:
    codes = np.zeros((50, 4, 4, 2), np.float32)
    codes[:, 1, 1, 0] = np.arange(50)
    assert varying_units(codes).tolist() == [True, False]


@given(
    arrays.arrays(np.float32, (6, 3), elements=st.floats(-3, 3, width=32)),
    arrays.arrays(np.float32, (6, 3), elements=st.floats(-3, 3, width=32)),
)
def test_divergence_is_never_negative_and_zero_on_the_prior(
    means: np.ndarray, log_variances: np.ndarray
) -> None:
    assert (divergence_by_dimension(means, log_variances) >= -1e-12).all()
    zeros = np.zeros_like(means)
    assert divergence_by_dimension(zeros, zeros) == pytest.approx(np.zeros(3))


def test_divergence_equals_its_estimate_from_draws() -> None:
    mean, log_variance = 0.8, -1.1
    deviation = np.exp(log_variance / 2)
    draws = np.random.default_rng(3).normal(mean, deviation, 400_000)
    posterior = -0.5 * ((draws - mean) / deviation) ** 2 - np.log(deviation)
    estimate = (posterior + 0.5 * draws**2).mean()
    (exact,) = divergence_by_dimension(
        np.array([[mean]], np.float32), np.array([[log_variance]], np.float32)
    )
    assert exact == pytest.approx(estimate, abs=0.01)


def test_a_reason_waives_failed_gates_only() -> None:
    gates = (score_variation(np.ones(9)), explained_variance(0.05, 0.2))
    waived = waive_gates(gates, "known")
    assert [gate.state for gate in waived] == ["waived", "passed"]
    assert [gate.waived for gate in waived] == ["known", None]


def test_a_finding_contains_its_figures() -> None:
    assert "75.0% of the variance is explained" in explained_variance(0.05, 0.2).finding
