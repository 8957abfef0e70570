"""MLServer: the custom runtime that its documentation describes, with its NumPy codec."""

# pyright: reportMissingImports=false
# Runs in an environment of its own.

import os

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Autoencoder(MLModel):
    """The autoencoder."""

    async def load(self) -> bool:
        """Open the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run the graph on the rows of all requests that were gathered."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        (outputs,) = self._session.run(None, {"inputs": rows})
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output("outputs", np.asarray(outputs))],
        )
