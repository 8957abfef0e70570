from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from service.bundle.manifest import (
    CALIBRATION_FILE,
    GOLDEN_FILE,
    PRIORS_FILE,
    ColumnSpec,
    InputSpec,
)
from service.bundle.storage import Bundle, read_bundle
from service.inference.sampling import GaussianMixture
from tests.training.recipes import NoProgress
from training.evaluation.priors import default_prior
from training.fitting.trained_model import TrainedModel
from training.pipeline import Publication, export_model, publish_model, train_model
from training.publishing.manifest import noise_spec, with_training_ranges
from training.recipe.corruption import GaussianCorruption, MaskingCorruption
from training.recipe.files import load_recipe


@pytest.fixture(scope="module")
def bundle(publication: Publication) -> Bundle:
    return read_bundle(publication.location)


@pytest.mark.slow
def test_the_manifest_says_what_was_trained_on_what(bundle: Bundle, trained: TrainedModel) -> None:
    manifest = bundle.manifest

    assert manifest.name == "digits-test"
    assert manifest.code.shape == (6,)
    assert manifest.data.sha256 == trained.data.sha256
    assert manifest.data.rows == {
        "train": 997,
        "validation": 200,
        "calibration": 300,
        "test": 300,
    }
    assert manifest.provenance.recipe == trained.recipe.to_json()
    assert manifest.provenance.epochs == 4
    assert manifest.provenance.seed == 11
    assert manifest.noise is not None
    assert (manifest.noise.kind, manifest.noise.level) == ("gaussian", 0.2)


def test_a_model_trained_against_noise_serves_all_six_calls(bundle: Bundle) -> None:
    assert set(bundle.manifest.capabilities) == {
        *("encode", "decode", "reconstruct", "denoise", "anomaly-score", "sample")
    }


def test_published_figures_are_in_the_manifest(bundle: Bundle) -> None:
    (figure,) = [metric for metric in bundle.manifest.metrics if metric.published is not None]

    assert (figure.name, figure.split) == ("binary-cross-entropy", "test")
    assert (figure.published, figure.note) == (0.123, "by others")


def test_calibration_scores_are_ascending_and_counted(bundle: Bundle) -> None:
    assert bundle.manifest.anomaly is not None
    assert bundle.manifest.anomaly.default_score == "atypicality"
    for name in ("atypicality", "reconstruction-error"):
        scores = bundle.arrays(CALIBRATION_FILE)[name]
        spec = bundle.manifest.anomaly.scores[name]
        assert scores.shape == (spec.calibration_rows,) == (300,)
        assert np.all(np.diff(scores) >= 0)


def test_the_mixture_in_the_bundle_can_be_drawn_from(bundle: Bundle) -> None:
    mixture = GaussianMixture.from_arrays(bundle.arrays(PRIORS_FILE))

    assert bundle.manifest.priors is not None
    spec = bundle.manifest.priors.available["gaussian-mixture"]
    assert spec.components == len(mixture.weights)
    assert mixture.draw(3, np.random.default_rng(0), 1.0).shape == (3, 6)


def test_golden_vectors_cover_every_tensor_of_every_graph(bundle: Bundle) -> None:
    golden = bundle.arrays(GOLDEN_FILE)

    assert golden.keys() == {
        *("encoder/inputs", "encoder/codes", "decoder/codes", "decoder/outputs"),
        *(
            f"scorer-{score}/{tensor}"
            for score in ("atypicality", "reconstruction-error")
            for tensor in ("inputs", "scores", "feature_scores")
        ),
    }


def test_the_example_is_a_test_row(bundle: Bundle, trained: TrainedModel) -> None:
    np.testing.assert_array_equal(
        np.array(bundle.manifest.example, np.float32), trained.split.test.rows[0].ravel()
    )


def test_a_variational_model_draws_from_what_its_codes_were_trained_to_follow() -> None:
    assert default_prior(variational=True) == "standard-normal"
    assert default_prior(variational=False) == "gaussian-mixture"


def test_noise_is_described_for_people() -> None:
    gaussian = GaussianCorruption(kind="gaussian", standard_deviation=0.5, clip=(0.0, 1.0))
    masking = MaskingCorruption(kind="masking", rate=0.3)

    assert noise_spec(gaussian).description == (
        "independent normal noise of standard deviation 0.5, clipped to [0, 1]"
    )
    assert (noise_spec(masking).kind, noise_spec(masking).level) == ("masking", 0.3)


def test_numeric_columns_get_the_range_of_the_training_rows_without_missing_values() -> None:
    columns = (
        ColumnSpec(name="age", nullable=True),
        ColumnSpec(name="member", type="boolean"),
        ColumnSpec(name="city", type="categorical", vocabulary=("Bern", "Oslo")),
        ColumnSpec(name="empty", nullable=True),
    )
    spec = InputSpec(kind="tabular", shape=(4,), units="none", columns=columns)
    rows = np.array([[40, 0, 1, np.nan], [np.nan, 1, 0, np.nan], [12.5, 1, 0, np.nan]], np.float32)

    described = with_training_ranges(spec, rows)

    assert described.columns is not None
    assert [column.training_range for column in described.columns] == [
        *((12.5, 40.0), None, None, None)
    ]
    assert [column.name for column in described.columns] == ["age", "member", "city", "empty"]


def test_rows_without_named_columns_have_no_training_ranges() -> None:
    spec = InputSpec(kind="tabular", shape=(2,), units="none")

    assert with_training_ranges(spec, np.zeros((3, 2), np.float32)) is spec


@pytest.mark.slow
def test_a_table_is_published_with_the_ranges_of_its_training_rows(tmp_path: Path) -> None:
    overrides = ["training.epochs=2", "code_density.components=[1]"]
    model = train_model(load_recipe("sine-deep", overrides), tmp_path, nullcontext(NoProgress()))

    published = publish_model(model, export_model(model), tmp_path, tmp_path, "a test")

    manifest = read_bundle(published.location).manifest
    train = model.split.train.rows
    assert manifest.schema_version == "1.1.0"
    assert [column.training_range for column in manifest.input.columns or ()] == [
        (float(values.min()), float(values.max())) for values in train.T
    ]
    assert all(float(values.min()) > -2.5 for values in train.T)
