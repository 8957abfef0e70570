from typing import Any

import pytest

from tests.training.recipes import DIGITS, digits_recipe, with_training
from training.errors import RecipeError
from training.recipe.files import parse_recipe


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the recipe of the tests with one field set, given by its dotted path."""
    head, _, rest = path.partition(".")
    if not rest:
        return {**DIGITS, head: value}
    part: dict[str, Any] = {**DIGITS[head]}
    part[rest] = value
    return {**DIGITS, head: part}


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("data.validation_row", 3, "data.validation_row: unknown field"),
        ("training.epochs", 0, "training.epochs: Input should be greater than 0"),
        ("training.epochs", "3", "training.epochs: Input should be a valid integer"),
        ("training.batch_rows", 2.5, "training.batch_rows: Input should be a valid integer"),
        ("data.dataset", "ImageNet", "data.dataset: String should match pattern"),
        ("data.options", [1], "data.options: Input should be an object"),
        ("model.encoder", [], "model.encoder: Tuple should have at least 1 item"),
        (
            "model.encoder",
            [{"layer": "flatten"}, {"layer": "dense", "unit": 3}],
            "model.encoder[1].units: missing field",
        ),
        (
            "model.encoder",
            [{"layer": "quantum"}],
            "model.encoder[0]: Input tag 'quantum' found using 'layer' does not match",
        ),
        ("name", "Digits!", "name: String should match pattern"),
        ("objective.kl_weight", 1.0, "objective.kl_weight is required for variational models only"),
        (
            "training.schedule",
            {"kind": "cosine", "warmup_epochs": 4},
            "4 warm-up epochs, expected fewer than the 4 epochs",
        ),
    ],
)
def test_a_wrong_field_is_named_with_its_place(path: str, value: Any, sentence: str) -> None:
    with pytest.raises(RecipeError) as invalid_rows_error:
        parse_recipe(changed(path, value), "mine.toml")

    assert str(invalid_rows_error.value).startswith("recipe mine.toml: ")
    assert sentence in str(invalid_rows_error.value)


def test_a_variational_model_needs_a_weight_for_its_divergence() -> None:
    model = {**DIGITS["model"], "family": "variational", "code_units": 2}

    with pytest.raises(RecipeError, match=r"objective\.kl_weight"):
        digits_recipe(model=model)


def test_a_recipe_cannot_be_changed_after_it_was_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        digits_recipe().seed = 3


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "Something else."},
        {"published": None},
        {"anomaly": {"default_false_positive_rate": 0.2}},
        {"code_density": {"components": [3]}},
    ],
)
def test_what_does_not_touch_the_weights_leaves_their_digest(changes: dict[str, Any]) -> None:
    assert digits_recipe(**changes).weights_digest() == digits_recipe().weights_digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 12},
        {"training": with_training(epochs=5)},
        {"corruption": None},
        {"objective": {"reconstruction": "mean-squared-error"}},
    ],
)
def test_what_touches_the_weights_changes_their_digest(changes: dict[str, Any]) -> None:
    assert digits_recipe(**changes).weights_digest() != digits_recipe().weights_digest()
