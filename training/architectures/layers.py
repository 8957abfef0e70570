"""Keras layers of our own.

The random ones serve training alone: no graph ever contains them.
"""

from typing import Any

import keras

from training.recipe import CorruptionPart, GaussianCorruption
from training.tensors import Tensor, ops


class GaussianNoise(keras.layers.Layer):
    """Add normal noise and clip: the same in training and evaluation, unlike Keras's own layer.

    Whoever calls it wants corrupted rows; a test of denoising needs them as much as training.
    """

    def __init__(
        self, standard_deviation: float, clip: tuple[float, float] | None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.standard_deviation = standard_deviation
        self.clip = clip
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: Tensor) -> Tensor:
        """Return noisy inputs, of the same shape."""
        noise = keras.random.normal(
            ops.shape(inputs), stddev=self.standard_deviation, seed=self.seed_generator
        )
        noisy = inputs + noise
        return noisy if self.clip is None else ops.clip(noisy, *self.clip)


class ValueDropout(keras.layers.Layer):
    """Set values to 0 independently, without scaling up the others as Keras's dropout does."""

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: Tensor) -> Tensor:
        """Return inputs of which a share is 0, of the same shape."""
        uniform = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)
        return ops.where(uniform < self.rate, 0.0, inputs)


class NormalSampling(keras.layers.Layer):
    """Draw codes from N(mean, exp(log variance)) so that gradients reach both.

    Source: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014 (the
        reparameterization trick).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, means: Tensor, log_variances: Tensor) -> Tensor:
        """Return one draw per row, shape of ``means``: (rows, units)."""
        noise = keras.random.normal(ops.shape(means), seed=self.seed_generator)
        return means + ops.exp(0.5 * log_variances) * noise

    def compute_output_shape(
        self, means_shape: tuple[int | None, ...], log_variances_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the shape of a draw, which is that of the means."""
        del log_variances_shape
        return means_shape


class NearestUpsampling(keras.layers.Layer):
    """Repeat every pixel along height and width.

    Keras's own layer repeats axis by axis, which ONNX can only say with a chain of 22 operators
    that takes longer than the convolutions around it. This one becomes a single ``Resize``.
    """

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.size = size

    def call(self, inputs: Tensor) -> Tensor:
        """Return images, (rows, height, width, channels), ``size`` times as high and wide."""
        _, height, width, _ = inputs.shape
        return ops.image.resize(
            inputs, (height * self.size, width * self.size), interpolation="nearest"
        )


def corruption_layer(corruption: CorruptionPart) -> keras.layers.Layer:
    """Build the layer that spoils inputs as a recipe says.

    Args:
        corruption: The recipe's part.
    """
    if isinstance(corruption, GaussianCorruption):
        return GaussianNoise(corruption.standard_deviation, corruption.clip, name="corruption")
    return ValueDropout(corruption.rate, name="corruption")
