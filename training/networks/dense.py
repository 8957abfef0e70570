"""Builders of dense, shape, activation, dropout, normalization and condition layers."""

from typing import cast

import keras

from training.networks.layers import ConditionJoin, TiedDense
from training.networks.stack import LayerContext, build_layer, layer_name
from training.recipe.layers import (
    ActivationSpec,
    BatchNormalizationSpec,
    ConditionSpec,
    DenseSpec,
    DropoutSpec,
    FlattenSpec,
    ReshapeSpec,
    TiedDenseSpec,
)


@build_layer.register
def _(spec: DenseSpec, context: LayerContext) -> keras.layers.Layer:
    return keras.layers.Dense(
        spec.units,
        activation=spec.activation,
        kernel_initializer=initializer(spec.initializer),
        name=context.name,
    )


@build_layer.register
def _(spec: TiedDenseSpec, context: LayerContext) -> keras.layers.Layer:
    tied_to = context.built[layer_name("encoder", spec.encoder_layer, "dense")]
    return TiedDense(cast(keras.layers.Dense, tied_to), spec.activation, name=context.name)


@build_layer.register
def _(spec: ConditionSpec, context: LayerContext) -> keras.layers.Layer:  # noqa: ARG001  # no options
    return ConditionJoin(context.categories, name=context.name)


@build_layer.register
def _(spec: FlattenSpec, context: LayerContext) -> keras.layers.Layer:  # noqa: ARG001  # no options
    return keras.layers.Flatten(name=context.name)


@build_layer.register
def _(spec: ReshapeSpec, context: LayerContext) -> keras.layers.Layer:
    return keras.layers.Reshape(spec.shape, name=context.name)


@build_layer.register
def _(spec: ActivationSpec, context: LayerContext) -> keras.layers.Layer:
    return keras.layers.Activation(spec.activation, name=context.name)


@build_layer.register
def _(spec: DropoutSpec, context: LayerContext) -> keras.layers.Layer:
    return keras.layers.Dropout(spec.rate, name=context.name)


@build_layer.register
def _(spec: BatchNormalizationSpec, context: LayerContext) -> keras.layers.Layer:
    return keras.layers.BatchNormalization(momentum=spec.momentum, name=context.name)


def initializer(name: str) -> str:
    """Return Keras's name of an initializer: ``he_normal`` for ``he-normal``."""
    return name.replace("-", "_")
