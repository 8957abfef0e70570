"""The variational family: a row is encoded as a normal distribution over codes."""

from collections.abc import Sequence
from typing import final

import keras

from training.networks.autoencoder import Autoencoder, call_stack
from training.networks.layers import NormalSampling
from training.recipe.corruption import CorruptionPart
from training.tensors import Tensor, ops


@final
class VariationalAutoencoder(Autoencoder):
    """The encoder outputs means and log variances; the decoder is trained on draws.

    Source: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014.
    """

    variational = True

    def __init__(
        self, encoder: keras.Model, decoder: keras.Model, corruption: CorruptionPart | None
    ) -> None:
        super().__init__(encoder, decoder, corruption)
        self._sampling = NormalSampling(name="sampling")

    def encode(
        self, rows: Tensor, conditions: Tensor | None = None, *, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Encode scaled rows: posterior means as codes, and log variances, both (rows, units)."""
        means, log_variances = call_stack(self.encoder, rows, conditions, training=training)
        return means, log_variances

    def training_codes(self, encoding: tuple[Tensor, ...]) -> Tensor:
        """Draw one code per row from its posterior, (rows, units)."""
        return self._sampling(*encoding)

    def unit_divergences(self, encoding: tuple[Tensor, ...]) -> Tensor:
        """Return KL(N(mean, variance) || N(0, 1)) in nats for every unit, (rows, units)."""
        means, log_variances = encoding
        return -0.5 * (1.0 + log_variances - ops.square(means) - ops.exp(log_variances))

    def _random_layers(self) -> Sequence[keras.layers.Layer]:
        return [*super()._random_layers(), self._sampling]


def with_posterior_heads(trunk: keras.Model, code_units: int) -> keras.Model:
    """Append the two linear layers of a posterior to an encoder.

    Args:
        trunk: The layers of the recipe, (rows, *row shape) to (rows, features); with conditions
            as a second input in a conditional model.
        code_units: Dimensions of the code.

    Returns:
        A model from rows to means and log variances, each (rows, code_units).
    """
    features = trunk.output
    means = keras.layers.Dense(code_units, name="encoder-means")(features)
    log_variances = keras.layers.Dense(code_units, name="encoder-log-variances")(features)
    return keras.Model(trunk.input, [means, log_variances], name="encoder")
