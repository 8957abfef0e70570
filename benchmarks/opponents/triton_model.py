"""What Triton's Python backend runs: one call of onnxruntime for a whole batch of requests."""

# pyright: reportMissingImports=false
# Runs inside Triton.

import os
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as backend


class TritonPythonModel:
    """The autoencoder."""

    def initialize(self, _: dict[str, str]) -> None:
        """Open the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run what Triton gathered, and give every request its rows."""
        rows = [
            backend.get_input_tensor_by_name(request, "inputs").as_numpy() for request in requests
        ]
        batch = rows[0] if len(rows) == 1 else np.concatenate(rows)
        (outputs,) = self.session.run(None, {"inputs": batch})
        ends = np.cumsum([len(part) for part in rows])[:-1]
        return [
            backend.InferenceResponse([backend.Tensor("outputs", part)])
            for part in np.split(np.asarray(outputs), ends)
        ]
