"""Independent random streams from the one seed of a recipe.

A draw depends on (seed, stream, indices) and on nothing drawn before, so an interrupted run
continues to the same result: shuffling and noise of an epoch follow from the recipe's seed and the
epoch's number.

Example:
    >>> first, again = (generator(3, Stream.SHUFFLE, 7).random() for _ in range(2))
    >>> first == again  # the order of rows in epoch 7 of any run with seed 3
    True
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a stream is used for. Published runs depend on the values: never renumber them."""

    SPLIT = 0
    WEIGHTS = 1
    SHUFFLE = 2
    TRAINING_NOISE = 3
    VALIDATION_NOISE = 4
    TEST_NOISE = 5
    CODE_DENSITY = 6
    ILLUSTRATION = 7
    DATA = 8
    SCORE = 9


def generator(seed: int, stream: Stream, *indices: int) -> np.random.Generator:
    """Return the generator of one stream, and within it of one epoch or layer.

    Args:
        seed: The recipe's seed.
        stream: What it is used for.
        indices: Number of the epoch or layer within the stream.
    """
    return np.random.default_rng([seed, stream, *indices])


def derived_seed(seed: int, stream: Stream, *indices: int) -> int:
    """Return a seed in [0, 2**31) for a library that takes an integer; see ``generator``."""
    return int(generator(seed, stream, *indices).integers(2**31))
