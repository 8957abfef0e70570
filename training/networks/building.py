"""Build the autoencoder of a recipe, with initial weights.

Example:
    >>> from training.recipe.files import load_recipe
    >>> autoencoder = build_autoencoder(load_recipe("mnist-stacked"), (28, 28, 1))
    >>> autoencoder.code_shape
    (30,)
"""

import math
from collections.abc import Sequence

import keras

from training.errors import RecipeError

# Imported to register their layers with ``build_layer``.
from training.networks import convolutional, dense, recurrent  # noqa: F401  # for their effect
from training.networks.autoencoder import Autoencoder, PlainAutoencoder
from training.networks.stack import build_stack
from training.networks.variational import VariationalAutoencoder, with_posterior_heads
from training.recipe.model import VariationalModel
from training.recipe.recipe import Recipe
from training.seeds import Stream, derived_seed


def build_autoencoder(recipe: Recipe, row_shape: Sequence[int], categories: int = 0) -> Autoencoder:
    """Build the recipe's autoencoder; its initial weights depend on the recipe's seed only.

    Args:
        recipe: The run's configuration.
        row_shape: Shape of one scaled row, without the batch axis.
        categories: Number of values of a condition, for a conditional model.

    Returns:
        The autoencoder of the recipe's family.

    Raises:
        RecipeError: Shapes of layers do not fit, or the decoder's output is not a row.
    """
    keras.utils.set_random_seed(derived_seed(recipe.seed, Stream.WEIGHTS))
    built: dict[str, keras.layers.Layer] = {}
    encoder = build_stack(recipe.model.encoder, row_shape, "encoder", built, categories)
    family: type[PlainAutoencoder | VariationalAutoencoder] = PlainAutoencoder
    if isinstance(recipe.model, VariationalModel):
        family = VariationalAutoencoder
        encoder = with_posterior_heads(_flat(encoder), recipe.model.code_units)
        code_shape: tuple[int, ...] = (recipe.model.code_units,)
    else:
        code_shape = tuple(encoder.output_shape[1:])
    decoder = build_stack(recipe.model.decoder, code_shape, "decoder", built, categories)
    outputs = tuple(decoder.output_shape[1:])
    if outputs != tuple(row_shape):
        hint = " (end with a reshape layer)" if math.prod(outputs) == math.prod(row_shape) else ""
        raise RecipeError(
            f"model.decoder: the last layer outputs rows of shape {outputs}, the data has"
            f" {tuple(row_shape)}{hint}"
        )
    return family(encoder, decoder, recipe.corruption)


def _flat(trunk: keras.Model) -> keras.Model:
    if len(trunk.output_shape) != 2:
        raise RecipeError(
            "model.encoder: the last layer of a variational encoder outputs one axis, not shape"
            f" {tuple(trunk.output_shape[1:])} (end with a flatten layer)"
        )
    return trunk
