"""The layers that a recipe can name, as data: a recipe is checked without importing Keras.

``training.networks`` builds each of them; a new layer is one class here, one entry in
``LayerSpec``, and one builder there.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from training.recipe.part import Fraction, RecipePart

Activation = Literal["linear", "relu", "elu", "selu", "gelu", "softplus", "sigmoid", "tanh"]
Initializer = Literal["glorot-uniform", "glorot-normal", "he-normal", "lecun-normal"]
Padding = Literal["same", "valid"]


class DenseSpec(RecipePart):
    """Every unit sees every value of the last axis."""

    layer: Literal["dense"]
    units: PositiveInt
    activation: Activation = "linear"
    initializer: Initializer = "glorot-uniform"


class TiedDenseSpec(RecipePart):
    """A dense layer whose kernel is the transpose of one in the encoder, with a bias of its own.

    Attributes:
        encoder_layer: Position in ``model.encoder`` of the dense layer, from 0. This layer has as
            many units as that one has inputs.
    """

    layer: Literal["tied-dense"]
    encoder_layer: NonNegativeInt
    activation: Activation = "linear"


class FlattenSpec(RecipePart):
    """One axis, in row-major order."""

    layer: Literal["flatten"]


class ReshapeSpec(RecipePart):
    """Another shape of the same values, without the batch axis."""

    layer: Literal["reshape"]
    shape: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class ActivationSpec(RecipePart):
    """An activation apart from the layer before it, as after a batch normalization."""

    layer: Literal["activation"]
    activation: Activation


class DropoutSpec(RecipePart):
    """A share of the values is dropped, in training only."""

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
    """The transpose of a two-dimensional convolution: strides enlarge the image."""

    layer: Literal["transposed-convolution"]
    filters: PositiveInt
    kernel: PositiveInt
    stride: PositiveInt = 1
    padding: Padding = "same"
    activation: Activation = "linear"
    initializer: Initializer = "glorot-uniform"
    bias: bool = True


class MaxPoolSpec(RecipePart):
    """The greatest value of each ``size`` by ``size`` window."""

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
        sequences: Give the state after every step, rather than the last one alone.
    """

    layer: Literal["lstm"]
    units: PositiveInt
    sequences: bool = False


class RepeatSpec(RecipePart):
    """One vector at every step of a series, for a recurrent decoder to unfold."""

    layer: Literal["repeat"]
    steps: PositiveInt


class ConditionSpec(RecipePart):
    """The row's condition joins here: one-hot, as further features, or channels of an image."""

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
