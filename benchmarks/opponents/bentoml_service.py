"""BentoML: two workers, each with adaptive batching, rows as NumPy arrays.

Source: BentoML's documentation of adaptive batching, of workers and of input types.
"""

# pyright: reportMissingImports=false
# Runs in an environment of its own.

import os
from typing import Annotated

import bentoml
import numpy as np
import onnxruntime
from bentoml.validators import DType


@bentoml.service(
    workers=2,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
)
class Autoencoder:
    """The autoencoder."""

    def __init__(self) -> None:
        """Open the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
        self.row_shape = self.session.get_inputs()[0].shape[1:]

    @bentoml.api(batchable=True, max_batch_size=256, max_latency_ms=1000)
    def reconstruct(
        self, inputs: Annotated[np.ndarray, DType("float32")]
    ) -> Annotated[np.ndarray, DType("float32")]:
        """Run the graph on the rows of all requests that were gathered."""
        rows = inputs.reshape(-1, *self.row_shape)
        return np.asarray(self.session.run(None, {"inputs": rows})[0])
