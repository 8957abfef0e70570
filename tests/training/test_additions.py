"""A layer, a score and a data source are added in the files that the documentation lists.

Each addition is made in a copy of the program, in these files only. One recipe then trains with all
three, and the service answers from its bundle.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.storage import Bundle, read_bundle_at
from service.catalog.verification import open_verified_sessions
from service.inference.autoencoder import Autoencoder
from service.inference.chained_graph import with_chain
from service.inference.graphs import direct_graphs
from service.inference.session import SessionOptions
from service.operations.anomaly_score import ScoreOptions
from service.operations.direct import run_directly
from service.operations.table import ANOMALY_SCORE

ROOT = Path(__file__).parents[2]
ROWS, COLUMNS = 500, 4

LAYER_FILES = ("training/recipe/layers.py", "training/networks/dense.py")
SCORE_FILES = ("training/export/scorers/largest_error.py", "training/export/scorer_registry.py")
SOURCE_FILES = ("training/data/sources/circle.py", "training/data/source_registry.py")

LAYER_SPEC = '''
class LeakyReluSpec(RecipePart):
    """Leaky ReLU as a layer."""

    layer: Literal["leaky-relu"]
    slope: Fraction = 0.2

'''
LAYER_BUILDER = """

@build_layer.register
def _(spec: LeakyReluSpec, context: LayerContext) -> keras.layers.Layer:
    return keras.layers.LeakyReLU(spec.slope, name=context.name)
"""
SCORE = '''"""The largest error of a row, in standard deviations of validation errors."""

import numpy as np

from training.export.scorer import Constants, FittingData, Scorer
from training.networks.autoencoder import Autoencoder
from training.tensors import Tensor, ops, to_numpy


class LargestError(Scorer):
    """The largest standardized error of a row."""

    description = "Largest error of a row, in standard deviations of validation errors."
    units = "standard deviations"

    def fit(self, data: FittingData) -> Constants:
        """Measure the standard deviation of every column's error."""
        errors = [
            to_numpy(data.autoencoder.reconstruct(rows)) - rows
            for rows, _ in data.validation.batches()
        ]
        return {"deviation": np.concatenate(errors).std(axis=0) + np.float32(1e-6)}

    def score(
        self,
        autoencoder: Autoencoder,
        constants: Constants,
        rows: Tensor,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the largest error of each row, and all of them."""
        del conditions
        errors = ops.abs(autoencoder.reconstruct(rows) - rows) / constants["deviation"]
        return ops.max(errors, axis=-1), errors
'''
SOURCE = '''"""Points of a circle in four dimensions."""

from collections.abc import Iterator

import numpy as np
from pydantic import PositiveInt

from service.bundle.manifest import ColumnSpec, InputSpec
from training.arrays import FloatArray, IntegerArray
from training.data.source import DataDescription, SourceKind
from training.recipe.part import RecipePart


class CircleOptions(RecipePart):
    """How many points."""

    points: PositiveInt


class Circle:
    """Points that are computed as they are read."""

    def __init__(self, options: CircleOptions, seed: int) -> None:
        self._points = options.points

    def describe(self) -> DataDescription:
        """Describe the points."""
        columns = tuple(ColumnSpec(name=name) for name in ("x", "y", "u", "v"))
        spec = InputSpec(kind="tabular", shape=(4,), units="1", columns=columns)
        return DataDescription("Circle", "a test", "CC0", "none", spec, ("point",), 0, "0" * 64)

    def labels(self) -> IntegerArray:
        """Return one class for all points."""
        return np.zeros(self._points, np.int64)

    def batches(self, max_rows: int) -> Iterator[FloatArray]:
        """Yield points around the circle."""
        for first in range(0, self._points, max_rows):
            angles = np.arange(first, min(first + max_rows, self._points)) * 0.7
            point = [np.cos(angles), np.sin(angles), np.cos(2 * angles), np.sin(2 * angles)]
            yield np.stack(point, axis=1).astype(np.float32)


CIRCLE = SourceKind(Circle, CircleOptions)
'''
RECIPE = f"""
name = "circle"
description = "A recipe with an added layer, score and data source."

[data]
dataset = "circle"
options = {{ points = {ROWS} }}
validation_rows = 100
calibration_rows = 100
test_rows = 100

[model]
family = "plain"
encoder = [
  {{ layer = "dense", units = 8 }},
  {{ layer = "leaky-relu", slope = 0.1 }},
  {{ layer = "dense", units = 2 }},
]
decoder = [
  {{ layer = "dense", units = 8 }},
  {{ layer = "leaky-relu" }},
  {{ layer = "dense", units = {COLUMNS} }},
]

[objective]
reconstruction = "mean-squared-error"

[training]
epochs = 3
batch_rows = 20
optimizer = {{ name = "adam", learning_rate = 0.01 }}

[anomaly]
scores = ["largest-error", "reconstruction-error"]

[code_density]
components = [1]
"""


def insert(path: Path, *additions: tuple[str, str]) -> None:
    """Insert each text before its anchor, which is in the file exactly once."""
    content = path.read_text()
    for anchor, text in additions:
        assert content.count(anchor) == 1, (path.name, anchor)
        content = content.replace(anchor, text + anchor)
    path.write_text(content)


def add_layer(root: Path) -> None:
    specs, builders = (root / name for name in LAYER_FILES)
    insert(
        specs,
        ("\nLayerSpec = Annotated[", LAYER_SPEC),
        ("    | ConditionSpec,\n", "    | LeakyReluSpec\n"),
    )
    insert(builders, ("    FlattenSpec,\n", "    LeakyReluSpec,\n"))
    builders.write_text(builders.read_text() + LAYER_BUILDER)


def add_score(root: Path) -> None:
    module, registry = (root / name for name in SCORE_FILES)
    module.write_text(SCORE)
    insert(
        registry,
        (
            "from training.export.scorers.reconstruction_error",
            "from training.export.scorers.largest_error import LargestError\n",
        ),
        ('    "reconstruction-error": Rec', '    "largest-error": LargestError(),\n'),
    )


def add_source(root: Path) -> None:
    module, registry = (root / name for name in SOURCE_FILES)
    module.write_text(SOURCE)
    insert(
        registry,
        (
            "from training.data.sources.digits",
            "from training.data.sources.circle import CIRCLE\n",
        ),
        ('    "digits": DIGITS,\n', '    "circle": CIRCLE,\n'),
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program with the three additions, and its bundle."""
    root = tmp_path_factory.mktemp("copy")
    for package in ("service", "training"):
        shutil.copytree(
            ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", root)
    for add in (add_layer, add_score, add_source):
        add(root)
    recipe = root / "circle.toml"
    recipe.write_text(RECIPE)
    command = [*(sys.executable, "-m", "training", "train", str(recipe)), "--allow", "a test"]
    run = subprocess.run(
        [*command, "--models", str(root / "models"), "--runs", str(root / "runs")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr + run.stdout
    return root


@pytest.fixture(scope="module")
def bundle(root: Path) -> Bundle:
    return read_bundle_at(root / "models" / "circle" / "1")


def files_that_differ(root: Path) -> set[str]:
    """Name the modules of the copy that are new or changed."""
    found: set[str] = set()
    for package in ("service", "training"):
        for path in (root / package).rglob("*.py"):
            original = ROOT / path.relative_to(root)
            if not original.is_file() or original.read_bytes() != path.read_bytes():
                found.add(path.relative_to(root).as_posix())
    return found


@pytest.mark.slow
def test_the_additions_touch_only_the_files_that_are_listed(root: Path) -> None:
    assert files_that_differ(root) == {*LAYER_FILES, *SCORE_FILES, *SOURCE_FILES}


def test_the_additions_keep_every_import_contract(root: Path) -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_the_bundle_describes_the_added_source_and_score(bundle: Bundle) -> None:
    manifest = bundle.manifest

    assert [column.name for column in manifest.input.columns or ()] == ["x", "y", "u", "v"]
    assert all(column.training_range for column in manifest.input.columns or ())
    assert sum(manifest.data.rows.values()) == ROWS
    assert manifest.anomaly is not None
    assert manifest.anomaly.default_score == "largest-error"
    assert manifest.anomaly.scores["largest-error"].units == "standard deviations"
    recipe: Any = manifest.provenance.recipe
    assert recipe["data"]["options"] == {"points": ROWS}


def test_the_added_layer_is_in_the_graphs(bundle: Bundle) -> None:
    for graph in ("encoder", "decoder"):
        assert b"LeakyRelu" in bundle.graph(graph)


def test_the_service_answers_from_the_bundle(bundle: Bundle) -> None:
    sessions, _ = open_verified_sessions(bundle, SessionOptions())
    served = Autoencoder(bundle, direct_graphs(with_chain(sessions)))
    near = np.array([[1, 0, 1, 0]], np.float32)
    far = np.array([[9, -9, 9, -9]], np.float32)

    scored = run_directly(
        ANOMALY_SCORE, served, np.concatenate([near, far]), options=ScoreOptions()
    )

    assert scored.scores[1] > 3 * scored.scores[0]
    assert scored.anomalies.tolist()[1] is True
