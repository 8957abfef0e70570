"""The interface that every family of autoencoders implements, and the plain family."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import keras

from training.networks.layers import CleanFraction, corruption_layer
from training.recipe.corruption import CorruptionPart
from training.seeds import Stream, derived_seed
from training.tensors import Tensor, ops


class Autoencoder(ABC):
    """Encoder and decoder over scaled rows, and the corruption that they are trained to remove.

    A family defines the parts of an encoding, the codes that the decoder is trained on, and the
    divergence in the objective. Fitting, export and evaluation use this interface only.

    Attributes:
        encoder: Scaled rows, (rows, *row shape), to the parts of an encoding.
        decoder: Codes, (rows, *code shape), to scaled rows.
    """

    variational: bool

    def __init__(
        self, encoder: keras.Model, decoder: keras.Model, corruption: CorruptionPart | None
    ) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self._corruption = corruption_layer(corruption) if corruption else None
        self._corrupts_validation = corruption is not None and corruption.in_validation
        fraction = corruption.clean_fraction if corruption else None
        self._clean_fraction = CleanFraction(fraction, name="clean-fraction") if fraction else None

    @abstractmethod
    def encode(
        self, rows: Tensor, conditions: Tensor | None = None, *, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Encode scaled rows.

        Args:
            rows: Shape (rows, *row shape).
            conditions: Shape (rows, 1) for a conditional model, else None.
            training: Run layers as in training: batch statistics, dropout.

        Returns:
            The codes, (rows, *code shape), then the other parts of an encoding of the family.
        """

    @abstractmethod
    def training_codes(self, encoding: tuple[Tensor, ...]) -> Tensor:
        """Return the codes that the decoder is given in the objective."""

    @abstractmethod
    def unit_divergences(self, encoding: tuple[Tensor, ...]) -> Tensor | None:
        """Return the KL divergence of each unit's code from the prior in nats, (rows, units).

        None for a family without a prior.
        """

    def divergence(self, encoding: tuple[Tensor, ...]) -> Tensor | None:
        """Return ``unit_divergences`` summed over units, (rows,), or None without a prior."""
        per_unit = self.unit_divergences(encoding)
        return None if per_unit is None else ops.sum(per_unit, axis=-1)

    def decode(
        self, codes: Tensor, conditions: Tensor | None = None, *, training: bool = False
    ) -> Tensor:
        """Decode codes, (rows, *code shape), to scaled rows; conditions as ``encode``."""
        return call_stack(self.decoder, codes, conditions, training=training)

    def reconstruct(self, rows: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Encode and decode scaled rows as the service does: without noise and random draws."""
        return self.decode(self.encode(rows, conditions)[0], conditions)

    def corrupt(self, rows: Tensor, *, training: bool = False, validating: bool = False) -> Tensor:
        """Corrupt scaled rows as the recipe states; without a corruption, return them unchanged.

        Args:
            rows: Shape (rows, *row shape).
            training: Leave the recipe's ``clean_fraction`` of rows unchanged.
            validating: Corrupt only if the recipe says so of validation rows.
        """
        if self._corruption is None or (validating and not self._corrupts_validation):
            return rows
        corrupted = self._corruption(rows)
        if training and self._clean_fraction is not None:
            return self._clean_fraction(rows, corrupted)
        return corrupted

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Shape of one code, without the batch axis."""
        return tuple(self.decoder.inputs[0].shape[1:])

    @property
    def encoder_takes_conditions(self) -> bool:
        """Whether a row's code depends on its condition."""
        return len(self.encoder.inputs) > 1

    @property
    def decoder_takes_conditions(self) -> bool:
        """Whether a code's row depends on its condition."""
        return len(self.decoder.inputs) > 1

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The variables that the optimizer updates, in a stable order."""
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    @property
    def weights(self) -> list[keras.Variable]:
        """The variables that a checkpoint holds: moving averages too, but not random state."""
        return [*self.encoder.weights, *self.decoder.weights]

    def reseed(self, seed: int, stream: Stream, *indices: int) -> None:
        """Set every random layer to the start of a stream.

        Args:
            seed: The recipe's seed.
            stream: What the draws are used for.
            indices: Number of the epoch within the stream.
        """
        for position, generator in enumerate(self._seed_generators()):
            generator.state.assign([derived_seed(seed, stream, *indices, position), 0])

    def _seed_generators(self) -> list[keras.random.SeedGenerator]:
        layers = [*self.encoder.layers, *self.decoder.layers, *self._random_layers()]
        found = (getattr(layer, "seed_generator", None) for layer in layers)
        return [state for state in found if state is not None]

    def _random_layers(self) -> Sequence[keras.layers.Layer]:
        layers = (self._corruption, self._clean_fraction)
        return [layer for layer in layers if layer is not None]


@final
class PlainAutoencoder(Autoencoder):
    """The encoder's outputs are the codes.

    Source: Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks,
        Science 2006.
    """

    variational = False

    def encode(
        self, rows: Tensor, conditions: Tensor | None = None, *, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Encode scaled rows to codes; see ``Autoencoder.encode``."""
        return (call_stack(self.encoder, rows, conditions, training=training),)

    def training_codes(self, encoding: tuple[Tensor, ...]) -> Tensor:
        """Return the codes: the decoder is trained on the codes that it is served with."""
        return encoding[0]

    def unit_divergences(self, encoding: tuple[Tensor, ...]) -> None:
        """Return None: a plain autoencoder has no prior."""
        del encoding


def call_stack(
    stack: keras.Model, rows: Tensor, conditions: Tensor | None, *, training: bool
) -> Tensor:
    """Run an encoder or decoder, with conditions if it has an input for them.

    Args:
        stack: The model.
        rows: Its first input.
        conditions: Shape (rows, 1), or None.
        training: Run layers as in training.
    """
    if len(stack.inputs) == 1:
        return stack(rows, training=training)
    # Keras accepts arrays or tensors, but not both in one call.
    inputs = [ops.convert_to_tensor(part) for part in (rows, conditions)]
    return stack(inputs, training=training)
