"""Builders of the layers of images: convolutions, transposed convolutions, pooling, upsampling."""

import keras

from training.networks.dense import initializer
from training.networks.layers import NearestUpsampling
from training.networks.stack import LayerContext, build_layer
from training.recipe.layers import (
    ConvolutionSpec,
    MaxPoolSpec,
    TransposedConvolutionSpec,
    UpsampleSpec,
)


@build_layer.register
def _(spec: ConvolutionSpec, context: LayerContext) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        spec.filters,
        spec.kernel,
        strides=spec.stride,
        padding=spec.padding,
        activation=spec.activation,
        use_bias=spec.bias,
        kernel_initializer=initializer(spec.initializer),
        name=context.name,
    )


@build_layer.register
def _(spec: TransposedConvolutionSpec, context: LayerContext) -> keras.layers.Layer:
    return keras.layers.Conv2DTranspose(
        spec.filters,
        spec.kernel,
        strides=spec.stride,
        padding=spec.padding,
        activation=spec.activation,
        use_bias=spec.bias,
        kernel_initializer=initializer(spec.initializer),
        name=context.name,
    )


@build_layer.register
def _(spec: MaxPoolSpec, context: LayerContext) -> keras.layers.Layer:
    return keras.layers.MaxPooling2D(spec.size, padding=spec.padding, name=context.name)


@build_layer.register
def _(spec: UpsampleSpec, context: LayerContext) -> keras.layers.Layer:
    return NearestUpsampling(spec.size, name=context.name)
