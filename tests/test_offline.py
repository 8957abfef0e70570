"""Scores without a server are those of the calls, and refuse the same rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.errors import (
    BundleFileCorrupted,
    BundleNotFound,
    CapabilityMissing,
    InvalidInput,
    LatentServeError,
    MalformedBody,
    ModelRequired,
)
from service.offline import score_file
from tests.bundles import PLANE, STAMP, TINY_MODELS, TinyModel, publish_tiny, tiny_manifest

Save = Callable[[np.ndarray], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write an array to a file."""

    def write(rows: np.ndarray) -> Path:
        np.save(tmp_path / "rows.npy", rows)
        return tmp_path / "rows.npy"

    return write


@pytest.mark.parametrize(
    "model", [model for model in TINY_MODELS if not model.conditions], ids=lambda model: model.name
)
def test_a_file_is_scored_as_the_model_does_in_numpy(
    model: TinyModel, tiny_models_dir: Path, save: Save
) -> None:
    rows = model.rows(7, seed=3)
    if model.columns:
        rows[:, 1:] = rows[:, 1:] > 0  # a boolean and one of two categories
    decision = score_file(save(rows), tiny_models_dir, name=model.name, false_positive_rate=0.2)
    at_least = (model.calibration >= decision.scores[:, None].astype(np.float64)).sum(axis=1)

    assert np.allclose(decision.scores, model.score(rows), atol=1e-5)
    assert decision.p_values.tolist() == ((1 + at_least) / 100).tolist()
    assert decision.anomalies.tolist() == (decision.p_values <= 0.2).tolist()


def test_more_rows_than_one_batch_are_scored_in_order(tiny_models_dir: Path, save: Save) -> None:
    rows = PLANE.rows(1000)
    decision = score_file(save(rows), tiny_models_dir, name="plane")

    assert np.allclose(decision.scores, PLANE.score(rows), atol=1e-4)


def test_pixels_of_bytes_are_divided_as_over_http(tiny_models_dir: Path, save: Save) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, *STAMP.shape), np.uint8)
    decision = score_file(save(pixels), tiny_models_dir, name="stamp")

    assert np.allclose(decision.scores, STAMP.score((pixels / 255).astype(np.float32)), atol=1e-5)


def test_the_default_rate_is_the_manifest_s(tiny_models_dir: Path, save: Save) -> None:
    decision = score_file(save(PLANE.rows(1)), tiny_models_dir, name="plane")

    assert decision.threshold == PLANE.calibration[-1]


def test_the_only_model_need_not_be_named_and_the_highest_version_is_meant(
    tmp_path: Path, save: Save
) -> None:
    folder = tmp_path / "models"
    publish_tiny(folder, PLANE)
    manifest = tiny_manifest(PLANE)
    assert manifest.anomaly is not None
    anomaly = manifest.anomaly.model_copy(update={"default_false_positive_rate": 0.5})
    publish_tiny(folder, PLANE, anomaly=anomaly)
    rows = save(PLANE.rows(1))

    assert score_file(rows, folder).threshold == PLANE.calibration[-50]
    assert score_file(rows, folder, version=2).threshold == PLANE.calibration[-50]
    assert score_file(rows, folder, version=1).threshold == PLANE.calibration[-1]


def test_one_of_several_models_has_to_be_named(tiny_models_dir: Path, save: Save) -> None:
    with pytest.raises(ModelRequired, match="labelled, people, plane, postcard, stamp, wave"):
        score_file(save(PLANE.rows(1)), tiny_models_dir)


def test_a_folder_without_bundles_says_so(tmp_path: Path, save: Save) -> None:
    with pytest.raises(LatentServeError, match="there are none"):
        score_file(save(PLANE.rows(1)), tmp_path)


@pytest.mark.parametrize("choice", [{"name": "nobody"}, {"name": "plane", "version": 2}])
def test_a_bundle_that_is_not_there_is_not_found(
    choice: dict[str, str | int], tiny_models_dir: Path, save: Save
) -> None:
    with pytest.raises(BundleNotFound, match="there are labelled, people, plane"):
        score_file(save(PLANE.rows(1)), tiny_models_dir, **choice)  # pyright: ignore[reportArgumentType]  # as typed above


def test_a_damaged_bundle_is_refused(tmp_path: Path, save: Save) -> None:
    location = publish_tiny(tmp_path / "models", PLANE)
    (location.folder / "decoder.onnx").write_bytes(b"")

    with pytest.raises(BundleFileCorrupted, match=r"^decoder\.onnx"):
        score_file(save(PLANE.rows(1)), tmp_path / "models")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (np.zeros((2, 5)), r"shape \(2, 5\)"),
        (np.zeros((0, 4)), "no rows"),
        (np.array([[0, 0, np.nan, 0]]), "not finite"),
        (np.array([["a", "b", "c", "d"]]), "floats or integers are expected"),
    ],
)
def test_rows_that_the_model_does_not_take_are_refused(
    rows: np.ndarray, reason: str, tiny_models_dir: Path, save: Save
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        score_file(save(rows), tiny_models_dir, name="plane")


def test_a_file_that_is_not_an_array_is_refused(tiny_models_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.npy").write_text("1,2,3,4\n")

    with pytest.raises(MalformedBody, match=r"\.npy"):
        score_file(tmp_path / "rows.npy", tiny_models_dir, name="plane")


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, 2.0])
def test_a_rate_outside_of_0_and_1_is_refused(
    rate: float, tiny_models_dir: Path, save: Save
) -> None:
    with pytest.raises(InvalidInput, match="false_positive_rate is not between 0 and 1"):
        score_file(save(PLANE.rows(1)), tiny_models_dir, name="plane", false_positive_rate=rate)


def test_a_conditional_model_is_refused_in_words(tiny_models_dir: Path, save: Save) -> None:
    with pytest.raises(InvalidInput, match="model labelled needs conditions"):
        score_file(save(PLANE.rows(1)), tiny_models_dir, name="labelled")


def test_a_model_that_does_not_score_is_refused(tmp_path: Path, save: Save) -> None:
    publish_tiny(tmp_path / "models", PLANE, capabilities=("encode", "decode"))

    with pytest.raises(CapabilityMissing, match="does not serve anomaly-score"):
        score_file(save(PLANE.rows(1)), tmp_path / "models")
