"""What most people write first: a FastAPI route, pydantic lists, onnxruntime."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("INTRA_OP_THREADS", "0"))
session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
row_shape = session.get_inputs()[0].shape[1:]
app = FastAPI()


class Request(BaseModel):
    """Rows, each flat."""

    inputs: list[list[float]]


class Answer(BaseModel):
    """Reconstructed rows, each flat."""

    reconstructions: list[list[float]]


@app.post("/reconstruct")
def reconstruct(request: Request) -> Answer:
    """Encode and decode."""
    rows = np.array(request.inputs, np.float32).reshape(-1, *row_shape)
    (outputs,) = session.run(None, {"inputs": rows})
    return Answer(reconstructions=np.asarray(outputs).reshape(len(rows), -1).tolist())
