"""The families of autoencoders that a recipe can name, with their lists of layers."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from training.recipe.layers import LayerSpecs
from training.recipe.part import RecipePart


class PlainModel(RecipePart):
    """An encoder whose last layer outputs the codes, and a decoder."""

    family: Literal["plain"]
    encoder: LayerSpecs
    decoder: LayerSpecs


class VariationalModel(RecipePart):
    """An encoder that outputs a normal distribution over codes, and a decoder.

    Attributes:
        code_units: Dimensions of the code; mean and log variance are linear layers after the
            encoder's last one.
    """

    family: Literal["variational"]
    encoder: LayerSpecs
    code_units: PositiveInt
    decoder: LayerSpecs


ModelPart = Annotated[PlainModel | VariationalModel, Field(discriminator="family")]
