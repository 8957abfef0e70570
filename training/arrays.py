"""Arrays by what they hold; docstrings say their shapes."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntegerArray = NDArray[np.int64]
Mask = NDArray[np.bool_]
# Anomaly scores are compared and counted in double precision.
Scores = NDArray[np.float64]
