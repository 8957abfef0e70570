"""Keras layers that Keras does not have.

The random ones are used in training only: exported graphs do not contain them.
"""

from collections.abc import Callable
from typing import Any

import keras

from training.recipe.corruption import CorruptionPart, GaussianCorruption
from training.tensors import Tensor, ops


class GaussianNoise(keras.layers.Layer):
    """Add normal noise and clip.

    Unlike Keras's layer of that name it adds noise in evaluation too: denoising is measured on
    corrupted rows.
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


class MaskingNoise(keras.layers.Layer):
    """Set values to 0 independently; the others are unchanged, where Keras's dropout scales them.

    Source: Vincent et al., Extracting and composing robust features with denoising autoencoders,
        ICML 2008 (masking noise).
    """

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: Tensor) -> Tensor:
        """Return inputs with a fraction ``rate`` of the values set to 0, of the same shape."""
        uniform = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)
        return ops.where(uniform < self.rate, 0.0, inputs)


class CleanFraction(keras.layers.Layer):
    """Undo the corruption of a random fraction of the rows."""

    def __init__(self, fraction: float, **options: Any) -> None:
        super().__init__(**options)
        self.fraction = fraction
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, clean: Tensor, corrupted: Tensor) -> Tensor:
        """Return each row either clean or corrupted; all of shape (rows, *row shape)."""
        shape = (ops.shape(clean)[0], *(1,) * (len(clean.shape) - 1))
        uniform = keras.random.uniform(shape, seed=self.seed_generator)
        return ops.where(uniform < self.fraction, clean, corrupted)


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

    Keras's layer repeats axis by axis, which is exported as 22 ONNX operators that take longer
    than the convolutions around them. This one is exported as a single ``Resize``.
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


class TiedDense(keras.layers.Layer):
    """A dense layer whose kernel is the transpose of another layer's kernel.

    The kernel is a weight of the other layer only; this one has its own bias.

    Source: Vincent et al., Stacked denoising autoencoders, Journal of Machine Learning Research
        2010 (tied weights).
    """

    def __init__(self, tied_to: keras.layers.Dense, activation: str, **options: Any) -> None:
        super().__init__(**options)
        # In a function, since Keras would count the weights of a layer in an attribute.
        self._encoder_kernel: Callable[[], keras.Variable] = lambda: tied_to.kernel
        self.activation: Any = keras.activations.get(activation)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the bias, one value per input of the other layer.

        Raises:
            ValueError: This layer has another number of inputs than the other has units.
        """
        inputs, units = self._encoder_kernel().shape
        if input_shape[-1] != units:
            raise ValueError(f"{input_shape[-1]} inputs, expected {units} as the tied kernel has")
        self.bias = self.add_weight(shape=(inputs,), initializer="zeros", name="bias")

    def call(self, inputs: Tensor) -> Tensor:
        """Return (rows, inputs of the other layer) for (rows, units of the other layer)."""
        kernel = ops.transpose(self._encoder_kernel())
        return self.activation(ops.matmul(inputs, kernel) + self.bias)


class ConditionJoin(keras.layers.Layer):
    """Concatenate a row's category to its features, one-hot.

    Source: Sohn et al., Learning structured output representation using deep conditional
        generative models, NIPS 2015.
    """

    def __init__(self, categories: int, **options: Any) -> None:
        super().__init__(**options)
        self.categories = categories

    def call(self, inputs: Tensor, conditions: Tensor) -> Tensor:
        """Return inputs with ``categories`` further values on the last axis.

        Args:
            inputs: Shape (rows, ..., features).
            conditions: Position of each row's category, (rows, 1), as float32.
        """
        positions = ops.arange(self.categories, dtype="float32")
        one_hot = ops.cast(ops.equal(conditions, positions), "float32")  # (rows, categories)
        middle = len(inputs.shape) - 2
        if middle:
            one_hot = ops.reshape(one_hot, (-1, *(1,) * middle, self.categories))
            one_hot = one_hot * ops.ones_like(inputs[..., :1])  # (rows, ..., categories)
        return ops.concatenate([inputs, one_hot], axis=-1)


def corruption_layer(corruption: CorruptionPart) -> keras.layers.Layer:
    """Build the layer that corrupts rows as a recipe states.

    Args:
        corruption: The recipe's part.
    """
    if isinstance(corruption, GaussianCorruption):
        return GaussianNoise(corruption.standard_deviation, corruption.clip, name="corruption")
    return MaskingNoise(corruption.rate, name="corruption")
