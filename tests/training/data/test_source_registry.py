"""Every data source of the table describes what it yields."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import PositiveInt

from service.bundle.manifest import InputSpec
from service.bundle.signing import parse_manifest
from training.arrays import FloatArray, IntegerArray
from training.data.reading import read_rows
from training.data.source import DataDescription, SourceKind
from training.data.source_registry import SOURCES, open_source, recipe_source
from training.data.splitting import split_source
from training.errors import RecipeError
from training.recipe.files import load_recipe
from training.recipe.part import RecipePart

MODELS = Path(__file__).parents[3] / "models"
NEEDS_FILES = pytest.mark.skipif(
    "LATENTSERVE_DATA_DIR" not in os.environ,
    reason="LATENTSERVE_DATA_DIR names no folder of data files",
)


@pytest.mark.parametrize(
    ("name", "shape", "test_rows", "rows_of_first_class"),
    [
        ("digits", (1_797, 8, 8, 1), 0, 178),
        ("sine", (4_000, 2), 0, 4_000),
        ("plane", (4_000, 3), 0, 4_000),
        pytest.param("mnist", (70_000, 28, 28, 1), 10_000, 6_903, marks=NEEDS_FILES),
        pytest.param("fashion-mnist", (70_000, 28, 28, 1), 10_000, 7_000, marks=NEEDS_FILES),
        pytest.param("ecg5000", (5_000, 140, 1), 0, 2_919, marks=NEEDS_FILES),
    ],
)
def test_a_source_yields_the_rows_that_it_describes(
    name: str, shape: tuple[int, ...], test_rows: int, rows_of_first_class: int
) -> None:
    source = open_source(name)
    description, labels = source.describe(), source.labels()

    batches = list(source.batches(1000))

    assert [len(batch) for batch in batches[:-1]] == [1000] * (len(batches) - 1)
    assert all(batch.dtype == np.float32 for batch in batches)
    assert (sum(len(batch) for batch in batches), *batches[0].shape[1:]) == shape
    assert shape[1:] == description.input.shape
    assert description.test_rows == test_rows
    assert np.count_nonzero(labels == 0) == rows_of_first_class
    assert set(np.unique(labels)) == set(range(len(description.classes)))
    if description.input.range is not None:
        ends = min(batch.min() for batch in batches), max(batch.max() for batch in batches)
        assert ends == description.input.range


def test_every_source_of_the_table_is_tested_above() -> None:
    assert list(SOURCES) == ["digits", "mnist", "fashion-mnist", "ecg5000", "sine", "plane"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("digits-stacked", "digits-vae"),
        *(
            pytest.param(name, marks=NEEDS_FILES)
            for name in ("mnist-stacked", "fashion-vae", "ecg5000")
        ),
    ],
)
def test_the_data_of_a_published_bundle_has_its_digest_and_is_split_as_it_was(name: str) -> None:
    manifest = parse_manifest((MODELS / name / "1" / "manifest.json").read_bytes())
    recipe = load_recipe(name)

    source = recipe_source(recipe)
    split = split_source(source, recipe.data, recipe.seed)

    assert source.describe().sha256 == manifest.data.sha256
    assert {part: len(rows) for part, rows in split.parts().items()} == manifest.data.rows
    np.testing.assert_array_equal(
        split.test.rows[0].ravel(), np.array(manifest.example, np.float32)
    )


def test_rows_of_digits_are_brightnesses_of_sixteen_levels() -> None:
    source = open_source("digits")
    rows = read_rows(source)

    assert set(np.unique(rows * 16)) == set(range(17))
    assert np.median(rows[:, [0, -1]]) == source.describe().input.background == 0  # the borders
    np.testing.assert_array_equal(source.labels()[:10], range(10))


def test_opening_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTSERVE_DATA_DIR", "/nowhere")

    for name in SOURCES:
        open_source(name)


def test_an_error_of_an_unknown_source_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"data\.dataset: 'imagenet' is not a data source.*mnist"):
        open_source("imagenet")


def test_a_source_without_options_accepts_none() -> None:
    with pytest.raises(RecipeError, match=r"data\.options: path: unknown field"):
        open_source("digits", {"path": "rows.csv"})


class CounterOptions(RecipePart):
    rows: PositiveInt


class Counter:
    """A source with an option, which has no row in memory before it is read."""

    def __init__(self, options: CounterOptions, seed: int) -> None:
        self.rows, self.seed = options.rows, seed

    def describe(self) -> DataDescription:
        spec = InputSpec(kind="tabular", shape=(1,), units="1")
        return DataDescription("Counter", "a test", "none", "none", spec, ("row",), 0, "0" * 64)

    def labels(self) -> IntegerArray:
        return np.zeros(self.rows, np.int64)

    def batches(self, max_rows: int) -> Iterator[FloatArray]:
        for first in range(0, self.rows, max_rows):
            numbers = np.arange(first, min(first + max_rows, self.rows), dtype=np.float32)
            yield numbers[:, np.newaxis] + self.seed


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "counter", SourceKind(Counter, CounterOptions))


@pytest.mark.usefixtures("counter")
def test_a_source_gets_its_options_and_the_seed() -> None:
    rows = read_rows(open_source("counter", {"rows": 10_000}, seed=3))

    np.testing.assert_array_equal(rows[:, 0], np.arange(10_000) + 3)


@pytest.mark.usefixtures("counter")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, r"data\.options: rows: missing field"),
        ({"rows": 0}, r"data\.options: rows: Input should be greater than 0"),
        ({"rows": 5, "path": "x"}, r"data\.options: path: unknown field"),
    ],
)
def test_wrong_options_are_rejected_with_their_place(
    options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        open_source("counter", options)
