from pathlib import Path

import pytest

from training.errors import RecipeError, RecipeNotFound
from training.recipe.files import SHIPPED_RECIPES, load_recipe, shipped_recipe_names
from training.recipe.layers import DenseSpec


@pytest.mark.parametrize("name", shipped_recipe_names())
def test_every_shipped_recipe_is_valid_and_named_as_its_file(name: str) -> None:
    assert load_recipe(name).name == name


def test_a_recipe_outside_the_package_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((SHIPPED_RECIPES / "digits-stacked.toml").read_text())

    assert load_recipe(str(path)) == load_recipe("digits-stacked")


def test_an_error_of_an_unknown_name_lists_the_shipped_recipes() -> None:
    with pytest.raises(
        RecipeNotFound, match=r"recipe 'mnits' not found.*digits-stacked, digits-vae"
    ):
        load_recipe("mnits")


def test_a_file_that_is_not_toml_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("name = ")

    with pytest.raises(RecipeError, match="is not TOML"):
        load_recipe(str(path))


def test_a_date_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("name = 2026-01-01")

    with pytest.raises(RecipeError, match="takes no dates and times"):
        load_recipe(str(path))


def test_overrides_are_read_as_toml_and_reach_into_lists() -> None:
    recipe = load_recipe(
        "digits-stacked",
        [
            "training.epochs=3",
            "training.optimizer.learning_rate=0.5",
            "description=Mine, with 3 epochs",
            "model.encoder.1.units=17",
            'data.normal_classes=["1", "7"]',
        ],
    )

    layer = recipe.model.encoder[1]
    assert recipe.training.epochs == 3
    assert recipe.training.optimizer.learning_rate == 0.5
    assert recipe.description == "Mine, with 3 epochs"
    assert isinstance(layer, DenseSpec)
    assert layer.units == 17
    assert recipe.data.normal_classes == ("1", "7")


def test_an_override_can_add_a_part_that_the_recipe_leaves_out() -> None:
    recipe = load_recipe("digits-stacked", ["corruption.kind=masking", "corruption.rate=0.3"])

    assert recipe.corruption is not None
    assert recipe.corruption.kind == "masking"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("training.epochs", "expected key=value with a dotted key"),
        ("training..epochs=3", "expected key=value with a dotted key"),
        ("training.epoch=3", r"training\.epoch: unknown field"),
        ("training.epochs=three", r"training\.epochs: Input should be a valid integer"),
        ("model.encoder.9.units=3", "unknown key"),
        ("name.first=3", "unknown key"),
    ],
)
def test_an_override_of_an_unknown_field_is_rejected(override: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        load_recipe("digits-stacked", [override])
