"""A score may have constants, fitted to training and validation rows, which its graph contains."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.bundle.storage import read_bundle
from service.catalog.verification import open_verified_sessions
from service.inference.sampling import GaussianMixture
from service.inference.session import SessionOptions
from training.arrays import FloatArray
from training.errors import RecipeError
from training.export.code_density import code_density
from training.export.exported_model import ExportedModel
from training.export.fitted_scorer import fit_scorers
from training.export.scorer import Constants, FittingData, Scorer
from training.export.scorer_registry import SCORERS, scorer_named
from training.fitting.trained_model import TrainedModel
from training.networks.autoencoder import Autoencoder
from training.pipeline import export_model, publish_model
from training.recipe.recipe import AnomalyPart
from training.tensors import Tensor, ops, to_numpy

NAME = "standardized-error"
MIN_SCALE = 1e-3


class StandardizedError(Scorer):
    """The reconstruction error of every value relative to its error on validation rows."""

    description = "Mean squared error, relative to that of validation rows value by value."
    units = "squared validation errors"

    def __init__(self) -> None:
        self.fitted_rows: list[int] = []

    def fit(self, data: FittingData) -> Constants:
        self.fitted_rows = [len(data.train), len(data.validation)]
        squares = [
            np.square(to_numpy(data.autoencoder.reconstruct(rows, conditions)) - rows)
            for rows, conditions in data.validation.batches()
        ]
        scale = np.sqrt(np.concatenate(squares).mean(axis=0))
        return {"scale": np.maximum(scale, MIN_SCALE)}

    def score(
        self,
        autoencoder: Autoencoder,
        constants: Constants,
        rows: Tensor,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        residuals = (autoencoder.reconstruct(rows, conditions) - rows) / constants["scale"]
        squares = ops.square(residuals)
        return ops.mean(squares, axis=tuple(range(1, len(rows.shape)))), squares


class FixedDraws(Scorer):
    """A score that is nothing but one draw, to see where draws come from."""

    description, units = "One number.", "none"

    def fit(self, data: FittingData) -> Constants:
        return {"draw": data.random.normal(size=3).astype(np.float32)}

    def score(
        self,
        autoencoder: Autoencoder,
        constants: Constants,
        rows: Tensor,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


@contextmanager
def added(name: str, scorer: Scorer) -> Iterator[None]:
    """Add a score to the table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCORERS, name, scorer)
        yield


def with_scores(model: TrainedModel, *scores: str) -> TrainedModel:
    anomaly = AnomalyPart(scores=scores)
    return replace(model, recipe=model.recipe.model_copy(update={"anomaly": anomaly}))


@pytest.fixture(scope="module")
def scored(trained: TrainedModel) -> Iterator[TrainedModel]:
    """The model of all tests, with a score that has constants as its default."""
    with added(NAME, StandardizedError()):
        yield with_scores(trained, NAME, "reconstruction-error")


@pytest.fixture(scope="module")
def exported_with_score(scored: TrainedModel) -> ExportedModel:
    return export_model(scored)


@pytest.fixture(scope="module")
def mixture(trained: TrainedModel) -> GaussianMixture:
    return code_density(trained).mixture


def squared_errors(model: TrainedModel, rows: FloatArray) -> np.ndarray:
    return np.square(to_numpy(model.autoencoder.reconstruct(rows)) - rows).astype(np.float64)


def test_onnxruntime_computes_the_score_from_the_fitted_constants(
    scored: TrainedModel, exported_with_score: ExportedModel
) -> None:
    validation, test = scored.split.validation.rows, scored.split.test.rows
    scale = np.maximum(np.sqrt(squared_errors(scored, validation).mean(axis=0)), MIN_SCALE)
    expected = squared_errors(scored, test) / scale**2

    scores, feature_scores = exported_with_score.run(f"scorer-{NAME}", test, None)

    assert scale.max() > 2 * scale.min()  # else the constants would make no difference
    np.testing.assert_allclose(feature_scores, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scores, expected.mean(axis=(1, 2, 3)), rtol=1e-3)


@pytest.mark.slow
def test_a_published_bundle_has_the_score_and_verifies(
    scored: TrainedModel, exported_with_score: ExportedModel, tmp_path: Path
) -> None:
    published = publish_model(scored, exported_with_score, tmp_path, tmp_path, "a test")
    bundle = read_bundle(published.location)

    sessions, deviation = open_verified_sessions(bundle, SessionOptions())

    assert bundle.manifest.anomaly is not None
    assert bundle.manifest.anomaly.default_score == NAME
    assert bundle.manifest.anomaly.scores[NAME].units == "squared validation errors"
    assert set(sessions) == {"encoder", "decoder", f"scorer-{NAME}", "scorer-reconstruction-error"}
    assert deviation < 1e-6


def test_a_scorer_is_fitted_to_training_and_validation_rows_only(
    trained: TrainedModel, mixture: GaussianMixture
) -> None:
    scorer = StandardizedError()
    with added(NAME, scorer):
        fit_scorers(with_scores(trained, NAME), mixture)

    assert scorer.fitted_rows == [len(trained.split.train), len(trained.split.validation)]
    assert set(FittingData.__annotations__) == {
        *("autoencoder", "train", "validation", "mixture", "random"),
    }


def test_batches_are_the_rows_of_a_part_scaled_as_the_network_gets_them(
    trained: TrainedModel, mixture: GaussianMixture
) -> None:
    seen: list[FloatArray] = []

    class Recorder(FixedDraws):
        def fit(self, data: FittingData) -> Constants:
            seen.extend(rows for rows, _ in data.train.batches())
            return {}

    with added("recorder", Recorder()):
        fit_scorers(with_scores(trained, "recorder"), mixture)

    assert max(len(rows) for rows in seen) <= 1000
    train = to_numpy(trained.scaling.scale(trained.split.train.rows))
    np.testing.assert_array_equal(np.concatenate(seen), train)


def test_draws_of_a_scorer_follow_from_the_recipes_seed(
    trained: TrainedModel, mixture: GaussianMixture
) -> None:
    with added("draws", FixedDraws()):
        model = with_scores(trained, "draws")
        other = replace(model, recipe=model.recipe.model_copy(update={"seed": 12}))
        draws = [
            fit_scorers(chosen, mixture)[0].constants["draw"] for chosen in (model, model, other)
        ]

    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_the_reconstruction_error_has_no_constants(
    trained: TrainedModel, mixture: GaussianMixture
) -> None:
    (fitted,) = fit_scorers(with_scores(trained, "reconstruction-error"), mixture)

    assert (fitted.name, fitted.constants) == ("reconstruction-error", {})
    assert fitted.graph_name == "scorer-reconstruction-error"


def test_an_error_of_an_unknown_score_lists_the_known_ones() -> None:
    with pytest.raises(
        RecipeError, match="'surprise' is not a score; there are atypicality, reconstruction-"
    ):
        scorer_named("surprise")
