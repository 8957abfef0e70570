"""What is loaded, and everything a client needs to use it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.bundle.manifest import ColumnSpec
from service.inference.chained_graph import CHAIN
from tests.api.clients import SHARED_LOOP, Client, expect_problem, open_client
from tests.bundles import (
    LABELLED,
    PLANE,
    SCORE,
    STAMP,
    TINY_MODELS,
    TinyModel,
    publish_tiny,
    tiny_model,
)

pytestmark = SHARED_LOOP

POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CONDITIONAL = tiny_model(
    "conditional",
    conditions=(
        ColumnSpec(name="kind", type="categorical", vocabulary=(3, "cat")),
        ColumnSpec(name="sold", type="boolean"),
        ColumnSpec(name="weight"),
    ),
)
SHOPS = tiny_model(
    "shops",
    shape=(2,),
    columns=(
        ColumnSpec(name="floor", type="categorical", vocabulary=(7, "roof")),
        ColumnSpec(name="open", type="boolean"),
    ),
)


async def test_every_model_is_listed_with_its_versions_and_calls(client: Client) -> None:
    response = await client.get("/models")

    listed = {model["name"]: model for model in response.json()["models"]}
    assert response.status_code == 200
    assert list(listed) == sorted(model.name for model in TINY_MODELS)
    assert set(listed["stamp"]) == {
        *("name", "description", "capabilities", "default", "default_version", "versions"),
    }
    assert listed["stamp"]["description"] == "A tiny image model."
    assert "denoise" in listed["stamp"]["capabilities"]
    assert "denoise" not in listed["plane"]["capabilities"]
    assert listed["plane"]["default"] is False
    assert listed["plane"]["default_version"] == 1
    (version,) = listed["plane"]["versions"]
    assert (version["version"], version["state"], version["reason"]) == (1, "ready", None)
    assert version["provider"] == "cpu"
    assert 0 <= version["golden_deviation"] < 1e-5
    assert version["load_seconds"] > 0


async def test_the_default_model_is_marked(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir, default_model="wave") as client:
        models = (await client.get("/models")).json()["models"]

    assert [model["name"] for model in models if model["default"]] == ["wave"]


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
async def test_a_model_is_described_by_its_manifest(
    client: Client, model: TinyModel, tiny_models_dir: Path
) -> None:
    described = (await client.get(f"/models/{model.name}")).json()

    assert described["version"] == 1
    assert described["manifest"]["input"]["shape"] == list(model.shape)
    assert described["manifest"]["name"] == described["name"] == model.name
    files = {path.name for path in (tiny_models_dir / model.name / "1").iterdir()}
    assert set(described["manifest"]["files"]) == files - {"manifest.json"}
    assert set(described["graph_costs"]) == {
        "encoder",
        "decoder",
        CHAIN,
        f"scorer-{SCORE}",
    }


async def test_thresholds_are_those_that_scores_are_judged_by(client: Client) -> None:
    described = (await client.get("/models/plane")).json()

    thresholds = described["thresholds"][SCORE]
    assert list(thresholds) == ["0.001", "0.005", "0.01", "0.02", "0.05", "0.1"]
    for rate, threshold in thresholds.items():
        judged = await client.answer(
            "anomaly-score",
            model="plane",
            inputs=PLANE.rows(1).tolist(),
            false_positive_rate=float(rate),
        )
        assert judged["threshold"] == threshold
    assert thresholds["0.005"] is None  # 99 calibration rows cannot promise it
    calibration = np.sort(PLANE.calibration)
    assert thresholds["0.05"] == pytest.approx(calibration[-5], rel=1e-6)


@pytest.mark.parametrize("call", ["encode", "reconstruct", "anomaly-score"])
@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
async def test_the_example_is_a_request_that_works(
    client: Client, model: TinyModel, call: str
) -> None:
    example = (await client.get(f"/models/{model.name}")).json()["example_request"]

    answer = await client.answer(call, **example)

    assert (answer["model"], answer["version"]) == (model.name, 1)


async def test_the_examples_of_typed_columns_and_conditions_work_too(tmp_path: Path) -> None:
    publish_tiny(tmp_path, CONDITIONAL)
    publish_tiny(tmp_path, SHOPS, example=(7.0, True))  # manifests keep integers as floats
    async with open_client(tmp_path) as client:
        for name in ("conditional", "shops"):
            example = (await client.get(f"/models/{name}")).json()["example_request"]
            await client.answer("reconstruct", **example)


async def test_each_version_is_described_by_itself(tmp_path: Path) -> None:
    publish_tiny(tmp_path, STAMP)
    publish_tiny(tmp_path, STAMP, capabilities=("encode",), description="Encodes alone.")
    async with open_client(tmp_path) as client:
        latest = (await client.get("/models/stamp")).json()
        first = (await client.get("/models/stamp?version=1")).json()
    async with open_client(tmp_path, pinned_versions={"stamp": 1}) as client:
        pinned = (await client.get("/models/stamp")).json()
        (listed,) = (await client.get("/models")).json()["models"]

    assert (latest["version"], latest["capabilities"]) == (2, ["encode"])
    assert (first["version"], len(first["capabilities"])) == (1, 6)
    assert first["description"] == "A tiny image model."
    assert (pinned["version"], len(pinned["capabilities"])) == (1, 6)
    assert (listed["default_version"], len(listed["capabilities"])) == (1, 6)


async def test_a_refused_version_is_listed_with_its_reason_and_the_rest_serves(
    tmp_path: Path,
) -> None:
    publish_tiny(tmp_path, PLANE)
    broken = publish_tiny(tmp_path, PLANE)
    (broken.folder / "encoder.onnx").write_bytes(b"something else")
    reason = (
        "BundleFileCorrupted: encoder.onnx (14 bytes) does not have the digest that the manifest"
        " states; copy or publish the bundle again"
    )
    async with open_client(tmp_path) as client:
        (model,) = (await client.get("/models")).json()["models"]
        ready = await client.get("/readyz")
        answer = await client.answer("encode", inputs=PLANE.rows(1).tolist())
        response = await client.call("encode", inputs=PLANE.rows(1).tolist(), version=2)
        described = await client.get("/models/plane?version=2")

    assert [version["state"] for version in model["versions"]] == ["ready", "refused"]
    assert model["versions"][1]["reason"] == reason
    assert ready.status_code == 200
    assert answer["version"] == 1
    for unavailable in (response, described):
        document = expect_problem(unavailable, 503, "model-unavailable")
        assert document["detail"] == f"version 2 of plane is not ready: 2 is refused ({reason})"


async def test_the_report_is_served_as_it_was_published_and_sandboxed(client: Client) -> None:
    response = await client.get("/models/stamp/report")

    assert response.content == STAMP.report
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["x-content-type-options"] == "nosniff"


def changed(folder: Path) -> None:
    (folder / "report.html").write_bytes(b"<script>alert(1)</script>")


def removed(folder: Path) -> None:
    (folder / "report.html").unlink()


def removed_with_its_model(folder: Path) -> None:
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed, "BundleFileCorrupted: report.html (25 bytes) does not have the digest"),
        (removed, "BundleFileMissing: report.html is missing"),
        (removed_with_its_model, "BundleFileMissing: report.html is missing"),
    ],
)
async def test_a_report_that_is_not_there_as_it_was_published_is_gone(
    change: Callable[[Path], None], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    location = publish_tiny(tmp_path, STAMP)
    rows = STAMP.rows(1)
    async with open_client(tmp_path, log_level="warning") as client:
        change(location.folder)
        response = await client.get("/models/stamp/report")
        answer = await client.answer("encode", inputs=rows.tolist())

    document = expect_problem(response, 410, "report-gone")
    assert document["detail"] == (
        "the report of version 1 of stamp is not there any more as it was published; the model"
        " answers as before"
    )
    np.testing.assert_allclose(answer["codes"], STAMP.encode(rows), atol=1e-5)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (logged,) = [line for line in lines if line["event"] == "report gone"]
    assert logged["reason"].startswith(reason)


async def test_of_a_report_no_other_file_is_read(
    tmp_path: Path,
) -> None:
    location = publish_tiny(tmp_path, STAMP)
    async with open_client(tmp_path) as client:
        for path in location.folder.iterdir():
            if path.name != "report.html":
                path.unlink()
        response = await client.get("/models/stamp/report")

    assert response.content == STAMP.report


async def test_a_bundle_without_a_report_says_so(client: Client) -> None:
    response = await client.get("/models/plane/report")

    document = expect_problem(response, 404, "report-not-found")
    assert document["detail"] == "version 1 of plane was published without a report"


@pytest.mark.parametrize("path", ["", "/report"])
@pytest.mark.parametrize(
    ("name", "status", "slug"),
    [
        ("marker", 404, "model-not-found"),
        ("PLANE", 404, "model-not-found"),
        ("%2e%2e%2fmarker", 404, "not-found"),
        ("m" * 2000, 404, "model-not-found"),
        ("%00marker", 404, "model-not-found"),
        ("plane?version=2", 404, "version-not-found"),
        ("plane?version=0", 422, "invalid-input"),
        ("plane?version=marker", 422, "invalid-input"),
        ("plane?version=" + "9" * 5000, 422, "invalid-input"),
    ],
)
async def test_what_is_not_there_is_a_problem(
    client: Client, name: str, status: int, slug: str, path: str
) -> None:
    model, question, query = name.partition("?")

    response = await client.get(f"/models/{model}{path}{question}{query}")

    expect_problem(response, status, slug)
    assert "marker" not in response.text


@pytest.mark.parametrize("path", ["/models", "/models/plane", "/models/stamp/report"])
async def test_models_are_only_read(client: Client, path: str) -> None:
    response = await client.post(path)

    assert response.headers["allow"] == "GET, HEAD"
    expect_problem(response, 405, "method-not-allowed")


async def test_the_example_of_a_conditional_model_names_every_condition(client: Client) -> None:
    example = (await client.get("/models/labelled")).json()["example_request"]

    assert LABELLED.conditions is not None
    assert example["conditions"] == {"label": "cat"}
