"""Build a Keras model from a recipe's list of layers; every kind of layer registers a builder."""

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
    """What a builder may need beside the layer's specification.

    Attributes:
        name: Unique and stable: checkpoints identify weights by it.
        built: Layers built before, by name, for a layer that shares another's weights.
        categories: Number of values of a condition; 0 without conditions.
    """

    name: str
    built: dict[str, keras.layers.Layer]
    categories: int = 0


@singledispatch
def build_layer(spec: RecipePart, context: LayerContext) -> keras.layers.Layer:
    """Build the Keras layer of a specification; each kind registers its own builder.

    Args:
        spec: One layer of a recipe.
        context: Its name, and the layers before it.

    Example, in the module of the builder:
        ``@build_layer.register`` over
        ``def _(spec: DenseSpec, context: LayerContext) -> keras.layers.Layer``
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
        categories: Number of values of a condition; 0 without conditions.

    Returns:
        The model; its input is (rows, *row_shape), and (rows, 1) a second one if a layer takes
        the condition.

    Raises:
        RecipeError: A layer does not accept the output shape of the one before it.
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
    """Return the name of a layer, by which checkpoints identify its weights."""
    return f"{stack_name}-{position}-{kind}"
