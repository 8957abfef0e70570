"""Memory that runs out, as an error that says what to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from training.errors import MemoryExhausted


@contextmanager
def memory_errors_named() -> Iterator[None]:
    """Turn what Python, NumPy and TensorFlow raise when memory runs out into one error.

    Raises:
        MemoryExhausted: Memory ran out.
    """
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise MemoryExhausted(
            "there is not enough memory: lower training.batch_rows, data.train_rows or the units"
            " of the model's layers"
        ) from error
