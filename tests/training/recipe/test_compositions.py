"""Parts of a recipe that need or exclude each other, and the digests of checkpoints."""

from typing import Any

import pytest

from tests.training.tiny_recipes import CATEGORIES, KINDS, tiny_recipe
from training.errors import RecipeError
from training.networks.building import build_autoencoder
from training.recipe.files import load_recipe, shipped_recipe_names

ROW_SHAPES = {
    "digits": (8, 8, 1),
    "mnist": (28, 28, 1),
    "fashion-mnist": (28, 28, 1),
    "ecg5000": (140, 1),
    "sine": (2,),
    "plane": (3,),
}


def test_a_recipe_that_uses_nothing_new_keeps_the_digest_of_its_checkpoints() -> None:
    # Of the recipe as it was before penalties, stages, conditions and the rest.
    overrides = ["training.epochs=20", "training.batch_rows=32", "seed=42"]
    old = load_recipe(
        "mnist-stacked", [*overrides, 'training.optimizer={name="sgd",learning_rate=1.5}']
    )
    old = old.model_copy(update={"training": old.training.model_copy(update={"schedule": None})})
    assert old.weights_digest() == "5c20b26d5972"


@pytest.mark.parametrize(
    "override",
    [
        'objective.penalties=[{kind="l1-activity",weight=1e-5}]',
        "data.train_rows=100",
        'data.options={path="rows.csv"}',
        'training.published_epoch="last"',
        (
            'layerwise=[{encoder_layers=3,decoder_layers=3,reconstruction="mean-squared-error",'
            'training={epochs=1,batch_rows=8,optimizer={name="adam"}}}]'
        ),
    ],
)
def test_what_a_recipe_newly_uses_changes_its_digest(override: str) -> None:
    plain = load_recipe("digits-stacked")
    assert load_recipe("digits-stacked", [override]).weights_digest() != plain.weights_digest()


def test_the_fraction_of_clean_rows_changes_the_digest() -> None:
    partly = tiny_recipe("masking-denoising")
    wholly = tiny_recipe("masking-denoising", corruption={"kind": "masking", "rate": 0.5})
    assert partly.weights_digest() != wholly.weights_digest()


@pytest.mark.parametrize("name", shipped_recipe_names())
def test_every_shipped_recipe_builds_a_network_that_leads_back_to_its_rows(name: str) -> None:
    recipe = load_recipe(name)
    shape = ROW_SHAPES[recipe.data.dataset]
    autoencoder = build_autoencoder(recipe, shape, 10)
    assert recipe.name == name
    assert tuple(autoencoder.decoder.output_shape[1:]) == shape


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (
            "dense",
            {"objective": {"reconstruction": "mean-squared-error", "kl_warmup_epochs": 2}},
            "need a kl_weight",
        ),
        (
            "dense",
            {
                "objective": {
                    "reconstruction": "mean-squared-error",
                    "penalties": [{"kind": "l1-activity", "weight": 0.1}] * 2,
                }
            },
            "two penalties of one kind",
        ),
        (
            "dense",
            {"objective": KINDS["kl-sparse"]["objective"]},
            "code layer is a sigmoid",
        ),
        (
            "tied",
            {"model": {**KINDS["tied"]["model"], "encoder": KINDS["tied"]["model"]["decoder"]}},
            "tied-dense layers are for the decoder",
        ),
        (
            "variational",
            {"layerwise": KINDS["layer-wise"]["layerwise"]},
            "for plain models without conditions",
        ),
    ],
)
def test_contradictions_are_rejected(kind: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny_recipe(kind, **changes)


def test_every_kind_has_another_digest() -> None:
    digests = {tiny_recipe(kind).weights_digest() for kind in KINDS}
    assert len(digests) == len(KINDS)
    assert CATEGORIES > 1
