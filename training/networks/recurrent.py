"""Builders of the layers of series: LSTM, and repetition of a vector at every step."""

import keras

from training.networks.stack import LayerContext, build_layer
from training.recipe.layers import LstmSpec, RepeatSpec


@build_layer.register
def _(spec: LstmSpec, context: LayerContext) -> keras.layers.Layer:
    """(rows, steps, features) to (rows, units), or (rows, steps, units) with ``sequences``.

    Not unrolled, and with Keras's default options: one layer is exported as one ONNX ``LSTM``.

    Source: Hochreiter and Schmidhuber, Long short-term memory, Neural Computation 1997;
        Srivastava et al., Unsupervised learning of video representations using LSTMs, ICML 2015
        (as an autoencoder).
    """
    return keras.layers.LSTM(spec.units, return_sequences=spec.sequences, name=context.name)


@build_layer.register
def _(spec: RepeatSpec, context: LayerContext) -> keras.layers.Layer:
    """(rows, features) to (rows, steps, features)."""
    return keras.layers.RepeatVector(spec.steps, name=context.name)
