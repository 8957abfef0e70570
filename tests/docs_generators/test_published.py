"""Published bundles are read under the present names of what has been renamed since."""

from pathlib import Path
from typing import Any

import pytest

from docs_generators.published import read_published
from service.bundle.manifest import Metric
from tests.bundles import PLANE, publish_tiny, tiny_manifest
from training.recipe.files import load_recipe, parse_recipe

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(folder.name for folder in MODELS.iterdir() if folder.is_dir())


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_of_every_bundle_here_is_still_a_recipe_and_the_shipped_one(name: str) -> None:
    recipe = read_published([MODELS])[name].manifest.provenance.recipe

    assert parse_recipe(recipe, name).weights_digest() == load_recipe(name).weights_digest()


@pytest.mark.parametrize("name", NAMES)
def test_the_figures_of_the_gates_have_the_names_of_the_gates(name: str) -> None:
    figures = {metric.name for metric in read_published([MODELS])[name].manifest.metrics}

    assert {"active-unit-share", "generalization-gap", "explained-variance"} <= figures


def test_earlier_names_of_metrics_gates_and_corruptions_become_the_present_ones(
    tmp_path: Path,
) -> None:
    old: dict[str, Any] = load_recipe("mnist-denoise-dropout").to_json()
    old["corruption"] = {"in_validation": True, "clean_share": 0.5, "kind": "dropout", "rate": 0.5}
    figure = Metric(name="live-code-share", value=0.25, split="test", rows=9)
    provenance = {"recipe": old, "gates_waived": {"held-out-over-training-error": "known"}}
    publish_tiny(
        tmp_path,
        PLANE,
        metrics=(figure,),
        provenance=tiny_manifest(PLANE).provenance.model_copy(update=provenance),
    )

    manifest = read_published([tmp_path])[PLANE.name].manifest

    assert parse_recipe(manifest.provenance.recipe, "old") == load_recipe("mnist-denoise-dropout")
    assert [(metric.name, metric.value) for metric in manifest.metrics] == [
        ("active-unit-share", 0.25)
    ]
    assert manifest.provenance.gates_waived == {"generalization-gap": "known"}
