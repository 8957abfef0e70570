"""The one place where Keras's tensors, which carry no types, meet NumPy's arrays, which do."""

from typing import Any

import keras
import numpy as np

from training.arrays import FloatArray

# Symbolic tensors are Keras's, eager and traced ones TensorFlow's; neither package types them.
Tensor = Any
# Its inferred types are unions over what every backend might return.
ops: Any = keras.ops


def to_numpy(tensor: Tensor) -> FloatArray:
    """Return the values of an eager tensor or a variable as float32."""
    # The copy turns a variable into a tensor: variables are converted in a way NumPy 2 warns of.
    return np.asarray(ops.convert_to_numpy(ops.copy(tensor)), np.float32)
