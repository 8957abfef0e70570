"""One recipe seed, many independent streams: no draw depends on how many were made before it.

That is what lets an interrupted run continue as if it had never stopped: the shuffling and the
noise of an epoch follow from the recipe's seed and the epoch's number alone.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What randomness is used for. Values are part of every published run: never renumber."""

    SPLIT = 0
    WEIGHTS = 1
    SHUFFLE = 2
    TRAINING_NOISE = 3
    VALIDATION_NOISE = 4
    TEST_NOISE = 5
    CODE_DENSITY = 6
    ILLUSTRATION = 7
    DATA = 8


def generator(seed: int, stream: Stream, *indices: int) -> np.random.Generator:
    """Return the generator of one stream, and within it of one epoch or layer.

    Args:
        seed: The recipe's seed.
        stream: What it is for.
        indices: Which one of that kind: an epoch, a layer.
    """
    return np.random.default_rng([seed, stream, *indices])


def derived_seed(seed: int, stream: Stream, *indices: int) -> int:
    """Return a seed in [0, 2**31) for a library that wants a number; see ``generator``."""
    return int(generator(seed, stream, *indices).integers(2**31))
