"""LitServe: two workers and as many HTTP processes, batches gathered for a millisecond.

A worker polls its queue for as long as it gathers, and with no time at all would never batch.
Source: LitServe's documentation of batching and of LitServer.run.
"""

# pyright: reportMissingImports=false
# Runs in an environment of its own.

import os
from typing import Any

import litserve
import numpy as np
import onnxruntime

Batch = tuple[np.ndarray, list[int]]


class Autoencoder(litserve.LitAPI):
    """The autoencoder; requests of several rows are joined and split again."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Open the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
        self.row_shape = self.session.get_inputs()[0].shape[1:]

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        """Read the rows."""
        return np.array(request["inputs"], np.float32).reshape(-1, *self.row_shape)

    def batch(self, inputs: list[np.ndarray]) -> Batch:
        """Join requests."""
        return np.concatenate(inputs), [len(rows) for rows in inputs]

    def predict(self, batch: Batch) -> Batch:
        """Run the graph."""
        rows, counts = batch
        return np.asarray(self.session.run(None, {"inputs": rows})[0]), counts

    def unbatch(self, output: Batch) -> list[np.ndarray]:
        """Give every request its rows."""
        rows, counts = output
        return np.split(rows, np.cumsum(counts)[:-1])

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        """Write the rows."""
        return {"reconstructions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(
        Autoencoder(max_batch_size=64, batch_timeout=0.001, api_path="/reconstruct"),
        accelerator="cpu",
        workers_per_device=2,
        timeout=60,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=2,
        generate_client_file=False,
        log_level="error",
        access_log=False,
    )
