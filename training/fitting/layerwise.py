"""Greedy layer-wise fitting: the outermost layers first, then inner ones on their codes."""

from collections.abc import Iterator

import keras
import numpy as np

from training.arrays import FloatArray
from training.errors import RecipeError
from training.fitting.checkpoints import RunFolder
from training.fitting.history import EpochRecord
from training.fitting.progress import OffsetProgress, Progress
from training.fitting.trainer import Trainer, fit
from training.networks.autoencoder import Autoencoder, PlainAutoencoder
from training.recipe.objective import ObjectivePart
from training.recipe.optimization import LayerwiseStage
from training.recipe.recipe import Recipe
from training.tensors import Tensor, to_numpy

ENCODED_ROWS = 1000


def fit_layerwise(
    autoencoder: Autoencoder,
    recipe: Recipe,
    rows: tuple[FloatArray, FloatArray],
    run: RunFolder,
    progress: Progress,
) -> list[EpochRecord]:
    """Fit the stages of a recipe in order; a recipe without stages is left as it is.

    Every stage has its own checkpoints and continues after an interruption. A stage is fitted to
    codes that the stages before computed once; their weights do not change.

    Args:
        autoencoder: The whole model; its weights are updated in place.
        recipe: The run's configuration.
        rows: Training and validation rows, scaled, each (rows, *row shape).
        run: The folder of the whole run.
        progress: Receives the progress of the stages.

    Returns:
        The epochs of all stages, in order.

    Raises:
        RecipeError: The output of a stage's decoder layers does not have the shape of its input.
        TrainingDiverged: A stage's objective is not finite.
        RunCorrupted: A stage's folder holds something else.
    """
    train, validation = rows
    earlier: list[EpochRecord] = []
    networks = stage_networks(autoencoder, recipe, train.shape[1:])
    for number, (stage, (encoder, decoder)) in enumerate(
        zip(recipe.layerwise, networks, strict=True), 1
    ):
        part = PlainAutoencoder(encoder, decoder, corruption=None)
        trainer = Trainer(part, _stage_recipe(recipe, stage), train, validation)
        stage_progress = OffsetProgress(progress, len(earlier))
        earlier += fit(trainer, stage.training, run.stage(number), stage_progress)
        train, validation = _encode(encoder, train), _encode(encoder, validation)
    return earlier


def stage_networks(
    autoencoder: Autoencoder, recipe: Recipe, row_shape: tuple[int, ...]
) -> Iterator[tuple[keras.Model, keras.Model]]:
    """Yield encoder and decoder of every stage, made of the whole model's layers.

    Args:
        autoencoder: The whole model.
        recipe: Its recipe.
        row_shape: Shape of one scaled row.

    Raises:
        RecipeError: The output of a stage's decoder layers does not have the shape of its input.
    """
    encoder_layers, decoder_layers = _layers(autoencoder.encoder), _layers(autoencoder.decoder)
    for position, stage in enumerate(recipe.layerwise):
        encoder = _chain(encoder_layers[: stage.encoder_layers], row_shape)
        decoder = _decoder(decoder_layers[-stage.decoder_layers :], encoder, position)
        del encoder_layers[: stage.encoder_layers], decoder_layers[-stage.decoder_layers :]
        yield encoder, decoder
        row_shape = encoder.output_shape[1:]


def _layers(stack: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in stack.layers if not isinstance(layer, keras.layers.InputLayer)]


def _chain(layers: list[keras.layers.Layer], row_shape: tuple[int, ...]) -> keras.Model:
    inputs = keras.Input(row_shape)
    tensor: Tensor = inputs
    for layer in layers:
        tensor = layer(tensor)
    return keras.Model(inputs, tensor)


def _decoder(layers: list[keras.layers.Layer], encoder: keras.Model, position: int) -> keras.Model:
    codes, rows = encoder.output_shape[1:], encoder.input_shape[1:]
    try:
        decoder = _chain(layers, codes)
    except ValueError as error:
        raise RecipeError(
            f"layerwise[{position}]: its decoder layers do not accept codes of shape {codes}"
        ) from error
    if decoder.output_shape[1:] != rows:
        raise RecipeError(
            f"layerwise[{position}]: inputs have shape {rows}, outputs {decoder.output_shape[1:]}"
        )
    return decoder


def _stage_recipe(recipe: Recipe, stage: LayerwiseStage) -> Recipe:
    return recipe.model_copy(
        update={
            "objective": ObjectivePart(reconstruction=stage.reconstruction),
            "training": stage.training,
        }
    )


def _encode(encoder: keras.Model, rows: FloatArray) -> FloatArray:
    parts = [
        to_numpy(encoder(rows[first : first + ENCODED_ROWS], training=False))
        for first in range(0, len(rows), ENCODED_ROWS)
    ]
    return np.concatenate(parts)
