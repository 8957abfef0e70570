"""Keras's tensors, which have no static types, and their conversion to NumPy's arrays."""

from typing import Any

import keras
import numpy as np

from training.arrays import FloatArray

# Symbolic tensors are Keras's, eager and traced ones TensorFlow's; neither package types them.
Tensor = Any
# Its inferred types are unions over the return types of all backends.
ops: Any = keras.ops


def to_numpy(tensor: Tensor) -> FloatArray:
    """Return the values of an eager tensor or a variable as float32."""
    # The copy turns a variable into a tensor: converting a variable itself warns under NumPy 2.
    return np.asarray(ops.convert_to_numpy(ops.copy(tensor)), np.float32)
