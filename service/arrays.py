"""Types of the arrays that pass between rooms."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
"""Rows, codes and scores, as graphs take and give them."""
Float64Array = NDArray[np.float64]
"""Calibration scores, p-values and parameters of priors."""
BoolArray = NDArray[np.bool_]
"""Decisions, and masks of rows."""
