"""Served values are those of the bundle's own graphs, run with plain onnxruntime."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from tests.end_to_end.servers import ROOT, START_SECONDS, serving

NPY = "application/x-npy"
PUBLISHED = {
    folder.name: max(folder.glob("[1-9]*"), key=lambda version: int(version.name))
    for folder in sorted((ROOT / "models").iterdir())
    if folder.is_dir()
}
ROWS = 7


class Bundle:
    """A bundle opened with nothing of the service's."""

    def __init__(self, folder: Path) -> None:
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
        self._folder = folder

    def run(self, graph: str, **inputs: np.ndarray) -> list[np.ndarray]:
        session = onnxruntime.InferenceSession(
            self._folder / f"{graph}.onnx", providers=["CPUExecutionProvider"]
        )
        wanted = {node.name for node in session.get_inputs()}
        outputs: Any = session.run(None, {name: inputs[name] for name in wanted})
        names = [node.name for node in session.get_outputs()]
        signature = self.manifest["graphs"][graph]["outputs"]
        return [outputs[names.index(tensor["name"])] for tensor in signature]

    @property
    def rows(self) -> np.ndarray:
        spec, generator = self.manifest["input"], np.random.default_rng(3)
        if spec["columns"]:
            return np.tile(np.array([41, 1, 0], np.float32), (ROWS, 1))
        values = generator.random((ROWS, *spec["shape"]), dtype=np.float32)
        return values if spec["kind"] == "image" else 2 * values - 1

    @property
    def conditions(self) -> np.ndarray:
        """What the graphs take for ``named_conditions``: 1, true, or the category in place 1."""
        return np.ones((ROWS, len(self.manifest["conditions"] or ())), np.float32)

    @property
    def named_conditions(self) -> dict[str, Any]:
        ones = {"numeric": lambda _: 1, "boolean": lambda _: True, "categorical": lambda of: of[1]}
        return {
            column["name"]: ones[column["type"]](column["vocabulary"])
            for column in self.manifest["conditions"] or ()
        }


@pytest.fixture(scope="module")
def tiny(tiny_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tiny_models_dir, tmp_path_factory.mktemp("server") / "log") as server:
        yield server.url


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(ROOT / "models", tmp_path_factory.mktemp("server") / "log") as server:
        yield server.url


def served(url: str, call: str, rows: np.ndarray, bundle: Bundle) -> np.ndarray:
    body = BytesIO()
    np.save(body, rows)
    query = {"model": bundle.manifest["name"]}
    if bundle.manifest["conditions"]:
        query["conditions"] = json.dumps(bundle.named_conditions)
    response = httpx.post(
        f"{url}/{call}",
        params=query,
        content=body.getvalue(),
        headers={"content-type": NPY, "accept": NPY},
        timeout=START_SECONDS,
    )
    assert response.status_code == 200, response.text
    return np.load(BytesIO(response.content))


def assert_served(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    largest = max(1.0, float(np.abs(expected).max()))
    assert float(np.abs(found - expected).max()) <= 1e-6 * largest


def assert_parity(url: str, bundle: Bundle) -> None:
    rows, conditions = bundle.rows, bundle.conditions
    codes = bundle.run("encoder", inputs=rows, conditions=conditions)[0]
    (outputs,) = bundle.run("decoder", codes=codes, conditions=conditions)

    assert_served(served(url, "encode", rows, bundle), codes)
    assert_served(served(url, "decode", codes, bundle), outputs)
    assert_served(served(url, "reconstruct", rows, bundle), outputs)
    if "denoise" in bundle.manifest["capabilities"]:
        assert_served(served(url, "denoise", rows, bundle), outputs)
    if anomaly := bundle.manifest["anomaly"]:
        graph = anomaly["scores"][anomaly["default_score"]]["graph"]
        scores = bundle.run(graph, inputs=rows, conditions=conditions)[0]
        assert_served(served(url, "anomaly-score", rows, bundle)["score"], scores)


@pytest.mark.parametrize("name", ["plane", "stamp", "wave", "postcard", "labelled", "people"])
def test_tiny_bundles_are_served_as_their_graphs_compute(
    tiny: str, tiny_models_dir: Path, name: str
) -> None:
    assert_parity(tiny, Bundle(tiny_models_dir / name / "1"))


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_bundles_are_served_as_their_graphs_compute(published: str, name: str) -> None:
    assert_parity(published, Bundle(PUBLISHED[name]))


def test_every_published_bundle_is_there() -> None:
    assert {"mnist-stacked", "fashion-denoiser", "fashion-vae", "ecg5000"} <= PUBLISHED.keys()
