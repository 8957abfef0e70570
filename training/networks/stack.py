"""From a list of layers in a recipe to a Keras model: the registry that every layer joins."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

import keras

from training.errors import RecipeError
from training.recipe.layers import ConditionSpec, LayerSpec
from training.recipe.part import RecipePart
from training.tensors import Tensor


@dataclass(frozen=True)
class LayerContext:
    """What a builder may need beside the layer's own description.

    Attributes:
        name: Unique and stable: checkpoints know weights by it.
        built: Layers that exist already, by name, for a layer that shares another's weights.
        categories: How many values the condition of a row can have; 0 without conditions.
    """

    name: str
    built: dict[str, keras.layers.Layer]
    categories: int = 0


@singledispatch
def build_layer(spec: RecipePart, context: LayerContext) -> keras.layers.Layer:
    """Build the Keras layer that a recipe describes; each kind registers its own builder.

    Args:
        spec: One layer of a recipe.
        context: Its name and what surrounds it.
    """
    raise NotImplementedError(f"no builder for {type(spec).__name__} ({context.name})")


def build_stack(
    specs: Sequence[LayerSpec],
    row_shape: Sequence[int],
    stack_name: str,
    built: dict[str, keras.layers.Layer],
    categories: int = 0,
) -> keras.Model:
    """Chain the layers of a recipe into a model.

    Args:
        specs: The layers, in order.
        row_shape: Shape of one input row, without the batch axis.
        stack_name: ``encoder`` or ``decoder``; layers are named by ``layer_name``.
        built: Layers of earlier stacks, by name; the new ones are added.
        categories: How many values the condition of a row can have; 0 without conditions.

    Returns:
        The model, (rows, *row_shape) in; where a layer takes the condition, that is a second
        input, (rows, 1).

    Raises:
        RecipeError: A layer does not take the shape that the one before it gives.
    """
    inputs = keras.Input(tuple(row_shape), name=f"{stack_name}-inputs")
    conditions = keras.Input((1,), name=f"{stack_name}-conditions")
    conditional = any(isinstance(spec, ConditionSpec) for spec in specs)
    tensor: Tensor = inputs
    for position, spec in enumerate(specs):
        name = layer_name(stack_name, position, spec.layer)
        layer = build_layer(spec, LayerContext(name, built, categories))
        taken = (tensor, conditions) if isinstance(spec, ConditionSpec) else (tensor,)
        try:
            tensor = layer(*taken)
        except ValueError as error:
            raise RecipeError(
                f"model.{stack_name}[{position}]: a {spec.layer} layer does not fit on rows of"
                f" shape {tuple(tensor.shape[1:])}"
            ) from error
        built[name] = layer
    return keras.Model([inputs, conditions] if conditional else inputs, tensor, name=stack_name)


def layer_name(stack_name: str, position: int, kind: str) -> str:
    """Return the name of a layer: what checkpoints know its weights by."""
    return f"{stack_name}-{position}-{kind}"
