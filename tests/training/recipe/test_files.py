import codecs
import os
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

    with pytest.raises(RecipeError, match=r"is not TOML: .*, after line 1"):
        load_recipe(str(path))


def test_an_error_of_syntax_names_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "x"\n[data\nrows = 3\n')

    with pytest.raises(RecipeError, match=r"is not TOML: .*line 2, column 6"):
        load_recipe(str(path))


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(codecs.BOM_UTF8 + (SHIPPED_RECIPES / "digits-stacked.toml").read_bytes())

    assert load_recipe(str(path)) == load_recipe("digits-stacked")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_an_encoding_that_toml_does_not_have_is_named(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "x"\n', encoding=encoding)

    with pytest.raises(RecipeError, match=r"is UTF-16, UTF-32 or no text: save it as UTF-8"):
        load_recipe(str(path))


def test_a_byte_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'name = "x"\ndescription = "L\xe4nge"\n')

    with pytest.raises(RecipeError, match=r"is not UTF-8: byte 0xe4 in line 2"):
        load_recipe(str(path))


def test_a_folder_is_no_recipe_but_its_recipes_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")

    with pytest.raises(RecipeError, match=r"is a folder, expected a TOML file; in it are mine"):
        load_recipe(str(tmp_path))


def test_the_nearest_recipe_is_offered(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")

    with pytest.raises(RecipeNotFound, match=r"did you mean mnist-stacked\?"):
        load_recipe("mnist-staked")
    with pytest.raises(RecipeNotFound, match=r"did you mean .*mine\.toml\?"):
        load_recipe(str(tmp_path / "mime.toml"))


def test_a_pipe_is_read_and_a_file_without_end_is_not() -> None:
    reader, writer = os.pipe()
    os.write(writer, (SHIPPED_RECIPES / "plane-pca.toml").read_bytes())
    os.close(writer)

    assert load_recipe(f"/dev/fd/{reader}") == load_recipe("plane-pca")
    os.close(reader)
    with pytest.raises(RecipeError, match="has more than 1000000 bytes"):
        load_recipe("/dev/zero")


@pytest.mark.parametrize("depth", [150, 300, 900, 100_000])
def test_a_recipe_that_is_nested_without_end_is_rejected(depth: int, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"name = {'[' * depth}{']' * depth}\n")

    with pytest.raises(RecipeError):
        load_recipe(str(path))
    with pytest.raises(RecipeError):
        load_recipe("plane-pca", [f"{'a.' * depth}b=1"])


def test_an_override_that_is_nested_too_deeply_for_toml_is_a_string() -> None:
    text = "[" * 100_000

    assert load_recipe("plane-pca", [f"description={text}"]).description == text


def test_a_name_that_no_file_can_have_is_rejected() -> None:
    with pytest.raises(RecipeNotFound, match="File name too long"):
        load_recipe("a" * 300)


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
