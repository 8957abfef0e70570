"""The layers that a recipe can name, as data: a recipe is checked without importing Keras.

A new layer is one class and one entry in ``LayerSpec`` here, and one builder in
``training.networks``.

Example, in a recipe:
    ``encoder = [{ layer = "flatten" }, { layer = "dense", units = 30, activation = "selu" }]``
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from training.recipe.part import Fraction, RecipePart

Activation = Literal["linear", "relu", "elu", "selu", "gelu", "softplus", "sigmoid", "tanh"]
Initializer = Literal["glorot-uniform", "glorot-normal", "he-normal", "lecun-normal"]
Padding = Literal["same", "valid"]


class DenseSpec(RecipePart):
    """Every unit is connected to every value of the last axis."""

    layer: Literal["dense"]
    units: PositiveInt
    activation: Activation = "linear"
    initializer: Initializer = "glorot-uniform"


class TiedDenseSpec(RecipePart):
    """A dense layer whose kernel is the transpose of a dense layer's of the encoder; own bias.

    Attributes:
        encoder_layer: Position of the encoder's layer in ``model.encoder``, from 0. This layer has
            as many units as that one has inputs.
    """

    layer: Literal["tied-dense"]
    encoder_layer: NonNegativeInt
    activation: Activation = "linear"


class FlattenSpec(RecipePart):
    """Flatten a row to one axis, in row-major order."""

    layer: Literal["flatten"]


class ReshapeSpec(RecipePart):
    """Give a row another shape, stated without the batch axis; row-major order."""

    layer: Literal["reshape"]
    shape: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class ActivationSpec(RecipePart):
    """An activation as a layer, to follow batch normalization."""

    layer: Literal["activation"]
    activation: Activation


class DropoutSpec(RecipePart):
    """Set a fraction of the values to 0 and scale up the others, in training only."""

    layer: Literal["dropout"]
    rate: Fraction


class BatchNormalizationSpec(RecipePart):
    """Zero mean and unit variance over a batch in training; moving averages afterwards."""

    layer: Literal["batch-normalization"]
    momentum: Fraction = 0.99


class ConvolutionSpec(RecipePart):
    """Two-dimensional convolution, channels last."""

    layer: Literal["convolution"]
    filters: PositiveInt
    kernel: PositiveInt
    stride: PositiveInt = 1
    padding: Padding = "same"
    activation: Activation = "linear"
    initializer: Initializer = "glorot-uniform"
    bias: bool = True


class TransposedConvolutionSpec(RecipePart):
    """Transposed two-dimensional convolution, channels last: strides enlarge the image."""

    layer: Literal["transposed-convolution"]
    filters: PositiveInt
    kernel: PositiveInt
    stride: PositiveInt = 1
    padding: Padding = "same"
    activation: Activation = "linear"
    initializer: Initializer = "glorot-uniform"
    bias: bool = True


class MaxPoolSpec(RecipePart):
    """The maximum of each ``size`` by ``size`` window."""

    layer: Literal["max-pool"]
    size: PositiveInt = 2
    padding: Padding = "same"


class UpsampleSpec(RecipePart):
    """Every pixel repeated ``size`` times along height and width."""

    layer: Literal["upsample"]
    size: PositiveInt = 2


class LstmSpec(RecipePart):
    """A recurrent layer over the steps of a series.

    Attributes:
        sequences: Return the state after every step, not only after the last.
    """

    layer: Literal["lstm"]
    units: PositiveInt
    sequences: bool = False


class RepeatSpec(RecipePart):
    """Repeat one vector at every step of a series, as input of a recurrent decoder."""

    layer: Literal["repeat"]
    steps: PositiveInt


class ConditionSpec(RecipePart):
    """Concatenate the row's condition, one-hot, as further features or channels of an image."""

    layer: Literal["condition"]


LayerSpec = Annotated[
    DenseSpec
    | TiedDenseSpec
    | FlattenSpec
    | ReshapeSpec
    | ActivationSpec
    | DropoutSpec
    | BatchNormalizationSpec
    | ConvolutionSpec
    | TransposedConvolutionSpec
    | MaxPoolSpec
    | UpsampleSpec
    | LstmSpec
    | RepeatSpec
    | ConditionSpec,
    Field(discriminator="layer"),
]
LayerSpecs = Annotated[tuple[LayerSpec, ...], Field(min_length=1)]
