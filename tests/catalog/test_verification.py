"""A graph that does not compute what it computed when published is refused by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.manifest import GOLDEN_FILE
from service.bundle.storage import Bundle, BundleLocation, read_bundle, read_bundle_at
from service.catalog.verification import (
    _replay,
    golden_key,
    open_verified_sessions,
    replay_golden,
)
from service.errors import BundleFileCorrupted, GoldenMismatch, InvalidGraph
from service.inference.session import SessionOptions
from tests.bundles import (
    PLANE,
    SCORE,
    TINY_MODELS,
    WAVE,
    TinyModel,
    archive,
    golden_arrays,
    publish_tiny,
    tiny_files,
)

Golden = dict[str, Any]
OUTPUTS = {
    "encoder/codes": "encoder.onnx",
    "encoder/log_variances": "encoder.onnx",
    "decoder/outputs": "decoder.onnx",
    f"scorer-{SCORE}/scores": f"scorer-{SCORE}.onnx",
    f"scorer-{SCORE}/feature_scores": f"scorer-{SCORE}.onnx",
}


def published(folder: Path, model: TinyModel, change: Callable[[Golden], object]) -> Bundle:
    golden = golden_arrays(model)
    change(golden)
    return read_bundle(publish_tiny(folder, model, {"golden.npz": archive(golden)}))


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_a_sound_bundle_opens_every_graph_and_reports_its_deviation(
    model: TinyModel, tiny_models_dir: Path
) -> None:
    bundle = read_bundle_at(tiny_models_dir / model.name / "1")
    sessions, deviation = open_verified_sessions(bundle, SessionOptions(threads=1))

    assert list(sessions) == ["encoder", "decoder", f"scorer-{SCORE}"]
    assert all(
        session.signature == bundle.manifest.graphs[name] for name, session in sessions.items()
    )
    assert 0 <= deviation < 1e-5
    assert replay_golden(bundle) == deviation


@pytest.mark.parametrize("key", OUTPUTS)
def test_an_output_that_deviates_is_named_with_its_file(key: str, tmp_path: Path) -> None:
    def change(golden: Golden) -> None:
        golden[key][1] += 0.01 * max(1, np.abs(golden[key]).max())

    tensor = key.split("/")[1]
    with pytest.raises(
        GoldenMismatch,
        match=rf"^{OUTPUTS[key]}: {tensor} deviates by 0\.0\d+ .* on cpu, allowed is 0\.0001$",
    ):
        replay_golden(published(tmp_path, WAVE, change))


@pytest.mark.parametrize(("deviation", "sound"), [(0.8e-4, True), (1.2e-4, False)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 1000.0])
def test_the_tolerance_is_absolute_below_one_and_relative_above(
    deviation: float, sound: bool, scale: float, tmp_path: Path
) -> None:
    model = replace(PLANE, decoding=np.float32(scale) * PLANE.decoding)

    def change(golden: Golden) -> None:
        outputs = golden["decoder/outputs"]
        outputs[0, 0] += deviation * max(1, np.abs(outputs).max())

    bundle = published(tmp_path, model, change)
    if sound:
        assert replay_golden(bundle) == pytest.approx(deviation, rel=0.05)
    else:
        with pytest.raises(GoldenMismatch, match=r"^decoder\.onnx: outputs deviates"):
            replay_golden(bundle)


@pytest.mark.parametrize(("deviation", "sound"), [(0.8e-2, True), (1.2e-2, False)])
def test_rounded_products_may_deviate_by_what_rounding_costs(
    deviation: float, sound: bool, tiny_models_dir: Path
) -> None:
    bundle = read_bundle(BundleLocation("stamp", 1, tiny_models_dir / "stamp" / "1"))
    session = open_verified_sessions(bundle, SessionOptions())[0]["decoder"]
    session.tf32 = True  # as on a GPU
    golden = dict(bundle.arrays(GOLDEN_FILE))
    golden["decoder/outputs"] = golden["decoder/outputs"] + np.float32(deviation)

    if sound:
        assert _replay("decoder", session, golden) == pytest.approx(deviation, rel=0.05)
    else:
        with pytest.raises(GoldenMismatch, match=r"on cpu, allowed is 0\.01$"):
            _replay("decoder", session, golden)


def test_a_graph_with_other_weights_is_refused(tmp_path: Path) -> None:
    other = replace(PLANE, encoding=PLANE.encoding * np.float32(1.001))
    files = {"encoder.onnx": tiny_files(other)["encoder.onnx"]}
    bundle = read_bundle(publish_tiny(tmp_path, PLANE, files))

    with pytest.raises(GoldenMismatch, match=r"^encoder\.onnx: codes deviates"):
        replay_golden(bundle)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_refused_even_where_they_are_expected(
    value: float, tmp_path: Path
) -> None:
    broken = replace(PLANE, decoding=np.full_like(PLANE.decoding, value))
    normal = {"calibration.npz": archive({SCORE: PLANE.calibration})}
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(golden_arrays(broken)["decoder/outputs"]).any()
        bundle = read_bundle(publish_tiny(tmp_path, broken, normal))

    with pytest.raises(GoldenMismatch, match=r"^decoder\.onnx: outputs deviates by nan"):
        replay_golden(bundle)


def test_golden_vectors_that_are_no_numbers_prove_nothing(tmp_path: Path) -> None:
    def change(golden: Golden) -> None:
        golden["decoder/outputs"][2, 1] = np.nan

    with pytest.raises(GoldenMismatch, match=r"^decoder\.onnx: outputs"):
        replay_golden(published(tmp_path, PLANE, change))


@pytest.mark.parametrize("key", [*OUTPUTS, "encoder/inputs", "decoder/codes"])
def test_a_missing_golden_array_is_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(BundleFileCorrupted, match=rf"^golden\.npz has no array {key}$"):
        replay_golden(published(tmp_path, WAVE, lambda golden: golden.pop(key)))


@pytest.mark.parametrize(
    "inputs",
    [np.zeros((0, 4)), np.zeros((3, 5)), np.zeros(4), np.zeros(()), np.zeros((3, 4, 1))],
    ids=lambda inputs: str(inputs.shape),
)
def test_golden_inputs_that_are_no_rows_are_refused(inputs: np.ndarray, tmp_path: Path) -> None:
    bundle = published(tmp_path, PLANE, lambda golden: golden.update({"encoder/inputs": inputs}))

    with pytest.raises(
        BundleFileCorrupted, match=r"golden\.npz: the inputs of encoder have shapes"
    ):
        replay_golden(bundle)


def test_golden_outputs_of_another_shape_are_refused(tmp_path: Path) -> None:
    def change(golden: Golden) -> None:
        golden["encoder/codes"] = golden["encoder/codes"][:1]

    with pytest.raises(
        GoldenMismatch, match=r"^encoder\.onnx: codes has shape \(3, 2\), .* vectors \(1, 2\)$"
    ):
        replay_golden(published(tmp_path, PLANE, change))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    bundle = read_bundle(publish_tiny(tmp_path, PLANE, {"decoder.onnx": b"not a graph"}))

    with pytest.raises(InvalidGraph, match=r"^decoder\.onnx \(11 bytes\)"):
        replay_golden(bundle)


def test_a_golden_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    bundle = read_bundle(publish_tiny(tmp_path, PLANE, {"golden.npz": b"not an archive"}))

    with pytest.raises(BundleFileCorrupted, match=r"^golden\.npz is not an archive"):
        replay_golden(bundle)


def test_training_and_service_name_golden_arrays_alike() -> None:
    names = {golden_key(graph, tensor) for graph, tensor in (key.split("/") for key in OUTPUTS)}

    assert names == set(OUTPUTS)
