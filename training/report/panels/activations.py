"""Activations of the layers of a network, computed in Keras, not in the exported graphs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from training.arrays import FloatArray
from training.networks.autoencoder import call_stack
from training.report.panels.subject import Subject
from training.seeds import Stream, generator
from training.tensors import to_numpy

ROWS = 500
VALUES = 20_000
DEAD_RANGE = 1e-6


@dataclass(frozen=True)
class LayerActivations:
    """The outputs of one layer.

    Attributes:
        title: Name of the layer, and number of dead units.
        values: A sample of the activations of all units, (values,).
    """

    title: str
    values: FloatArray


def layer_activations(subject: Subject) -> list[LayerActivations]:
    """Compute the activations of every layer with a non-linearity, for some normal test rows.

    Args:
        subject: The run; its encoder gets clean rows, its decoder their codes.
    """
    part = subject.model.split.normal_test()
    scaled = subject.model.scaling.scale(part.rows[:ROWS])
    conditions = None if part.conditions is None else part.conditions[:ROWS]
    autoencoder = subject.model.autoencoder
    codes = autoencoder.encode(scaled, conditions)[0]
    return [
        *stack_activations("encoder", autoencoder.encoder, scaled, conditions),
        *stack_activations("decoder", autoencoder.decoder, codes, conditions),
    ]


def stack_activations(
    name: str, stack: keras.Model, inputs: Any, conditions: FloatArray | None
) -> Iterator[LayerActivations]:
    """Run a network and return the activations of every layer with a non-linearity.

    Args:
        name: Name of the network in titles.
        stack: An encoder or decoder.
        inputs: Its scaled rows or codes, (rows, ...).
        conditions: Shape (rows, 1) if it takes them, else None.

    Yields:
        One entry per layer, in order; a unit is dead if its range over rows is below
        ``DEAD_RANGE``.
    """
    layers: list[Any] = [layer for layer in stack.layers if _is_activated(layer)]
    if not layers:
        return
    probe: Any = keras.Model(stack.input, [layer.output for layer in layers])
    outputs = call_stack(probe, inputs, conditions, training=False)
    random = generator(0, Stream.ILLUSTRATION)
    outputs = outputs if len(layers) > 1 else [outputs]
    for number, (layer, output) in enumerate(zip(layers, outputs, strict=True), 1):
        values = to_numpy(output)
        by_unit = values.reshape(-1, values.shape[-1])
        dead = int((np.ptp(by_unit, axis=0) < DEAD_RANGE).sum())
        flat = values.ravel()
        if len(flat) > VALUES:
            flat = random.choice(flat, VALUES, replace=False)
        state = f", {dead} dead" if dead else ""
        title = f"{name} {number}: {layer.activation.__name__} {values.shape[-1]}{state}"
        yield LayerActivations(title, flat)


def _is_activated(layer: Any) -> bool:
    activation = getattr(layer, "activation", None)
    return activation is not None and activation is not keras.activations.linear
