"""What every family of autoencoders has in common, and the plain one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import keras

from training.architectures.layers import corruption_layer
from training.recipe import CorruptionPart
from training.seeds import Stream, derived_seed
from training.tensors import Tensor


class Autoencoder(ABC):
    """Encoder and decoder over scaled rows, and the corruption they are trained against.

    A family decides what an encoding consists of, which codes the decoder is trained on, and
    what the objective holds beside the reconstruction. Training, export and calibration go
    through this interface only.

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

    @abstractmethod
    def encode(self, rows: Tensor, *, training: bool = False) -> tuple[Tensor, ...]:
        """Encode scaled rows.

        Args:
            rows: Shape (rows, *row shape).
            training: Run layers as in training: batch statistics, dropout.

        Returns:
            The codes, (rows, *code shape), then whatever else an encoding of the family holds.
        """

    @abstractmethod
    def training_codes(self, encoding: tuple[Tensor, ...]) -> Tensor:
        """Return the codes that the decoder sees while the objective is computed."""

    @abstractmethod
    def divergence(self, encoding: tuple[Tensor, ...]) -> Tensor | None:
        """Return the KL divergence of each encoding from the prior, (rows,), where there is one."""

    def decode(self, codes: Tensor, *, training: bool = False) -> Tensor:
        """Decode codes, (rows, *code shape), to scaled rows."""
        return self.decoder(codes, training=training)

    def reconstruct(self, rows: Tensor) -> Tensor:
        """Encode and decode scaled rows as the service will: no noise, no draw."""
        return self.decode(self.encode(rows)[0])

    def corrupt(self, rows: Tensor, *, validating: bool = False) -> Tensor:
        """Spoil scaled rows as the recipe says; without a corruption they come back as they are."""
        if self._corruption is None or (validating and not self._corrupts_validation):
            return rows
        return self._corruption(rows)

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Shape of one code, without the batch axis."""
        return tuple(self.decoder.input_shape[1:])

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Everything the optimizer changes, in a stable order."""
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    @property
    def weights(self) -> list[keras.Variable]:
        """Everything a checkpoint must hold: also moving averages, no random state."""
        return [*self.encoder.weights, *self.decoder.weights]

    def reseed(self, seed: int, stream: Stream, *indices: int) -> None:
        """Set every random layer to the start of a stream, whatever was drawn before.

        Args:
            seed: The recipe's seed.
            stream: What the randomness is for.
            indices: Which one of that kind: an epoch.
        """
        for position, generator in enumerate(self._seed_generators()):
            generator.state.assign([derived_seed(seed, stream, *indices, position), 0])

    def _seed_generators(self) -> list[keras.random.SeedGenerator]:
        layers = [*self.encoder.layers, *self.decoder.layers, *self._random_layers()]
        found = (getattr(layer, "seed_generator", None) for layer in layers)
        return [state for state in found if state is not None]

    def _random_layers(self) -> Sequence[keras.layers.Layer]:
        return [self._corruption] if self._corruption is not None else []


@final
class PlainAutoencoder(Autoencoder):
    """The encoder's outputs are the codes.

    Source: Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks,
        Science 2006.
    """

    variational = False

    def encode(self, rows: Tensor, *, training: bool = False) -> tuple[Tensor, ...]:
        """Encode scaled rows: the codes alone; see ``Autoencoder.encode``."""
        return (self.encoder(rows, training=training),)

    def training_codes(self, encoding: tuple[Tensor, ...]) -> Tensor:
        """Return the codes: the decoder is trained on what it will be served."""
        return encoding[0]

    def divergence(self, encoding: tuple[Tensor, ...]) -> None:
        """Return nothing: a plain autoencoder has no prior."""
        del encoding
