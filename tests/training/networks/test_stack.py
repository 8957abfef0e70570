from typing import get_args

import keras
import pytest

from training.networks import convolutional, dense  # noqa: F401  # for their effect
from training.networks.stack import LayerContext, build_layer
from training.recipe.layers import FlattenSpec, LayerSpec
from training.recipe.part import RecipePart

UNION = get_args(LayerSpec)[0]


@pytest.mark.parametrize("spec", get_args(UNION), ids=lambda spec: spec.__name__)
def test_every_layer_a_recipe_can_name_has_a_builder(spec: type[RecipePart]) -> None:
    assert build_layer.dispatch(spec) is not build_layer.dispatch(object)


def test_a_layer_has_the_name_that_checkpoints_identify_it_by() -> None:
    layer = build_layer(FlattenSpec(layer="flatten"), LayerContext("encoder-0-flatten", {}))

    assert isinstance(layer, keras.layers.Flatten)
    assert layer.name == "encoder-0-flatten"


def test_a_layer_without_a_builder_raises_an_error_that_names_it() -> None:
    with pytest.raises(NotImplementedError, match=r"no builder for RecipePart \(somewhere\)"):
        build_layer(RecipePart(), LayerContext("somewhere", {}))
