"""Triton as pytriton's documentation binds a model: two functions, each an instance of their own.

Triton hands batches to pytriton's process through its Python backend. Dynamic batching is on.
Source: pytriton's documentation, binding models and configuration.
"""

# pyright: reportMissingImports=false
# Runs in an environment of its own.

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

INSTANCES = 2


def open_session() -> onnxruntime.InferenceSession:
    """Open the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["MODEL"], options)


def make_instance() -> Callable[..., dict[str, np.ndarray]]:
    """Make a function that runs batches in a session of its own."""
    session = open_session()

    @batch
    def reconstruct(inputs: np.ndarray) -> dict[str, np.ndarray]:
        return {"outputs": np.asarray(session.run(None, {"inputs": inputs})[0])}

    return reconstruct


def main() -> None:
    """Serve until told to stop."""
    shape = tuple(open_session().get_inputs()[0].shape[1:])
    configuration = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(os.environ["PORT"]),
        allow_grpc=False,
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=configuration, workspace=Path(os.environ["FOLDER"]) / "triton") as triton:
        triton.bind(
            model_name="autoencoder",
            infer_func=[make_instance() for _ in range(INSTANCES)],
            inputs=[Tensor(name="inputs", dtype=np.float32, shape=shape)],
            outputs=[Tensor(name="outputs", dtype=np.float32, shape=shape)],
            config=ModelConfig(max_batch_size=256, batcher=DynamicBatcher()),
        )
        triton.serve()


if __name__ == "__main__":
    main()
