import numpy as np
import pytest

from service.bundle.manifest import CALIBRATION_FILE, GOLDEN_FILE, PRIORS_FILE
from service.bundle.storage import Bundle, read_bundle
from service.inference.sampling import GaussianMixture
from training.evaluation.priors import default_prior
from training.fitting.trained_model import TrainedModel
from training.pipeline import Publication
from training.publishing.manifest import noise_spec
from training.recipe.corruption import GaussianCorruption, MaskingCorruption


@pytest.fixture(scope="module")
def bundle(publication: Publication) -> Bundle:
    return read_bundle(publication.location)


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
    scores = bundle.arrays(CALIBRATION_FILE)["reconstruction-error"]

    assert bundle.manifest.anomaly is not None
    spec = bundle.manifest.anomaly.scores["reconstruction-error"]
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
        "scorer-reconstruction-error/inputs",
        "scorer-reconstruction-error/scores",
        "scorer-reconstruction-error/feature_scores",
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
    assert noise_spec(masking).level == 0.3
