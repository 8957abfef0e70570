"""What most people write first: a FastAPI route, pydantic lists, onnxruntime."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("INTRA_OP_THREADS", "0"))
folder = os.environ["BUNDLE"]
encoder = onnxruntime.InferenceSession(f"{folder}/encoder.onnx", options)
decoder = onnxruntime.InferenceSession(f"{folder}/decoder.onnx", options)
app = FastAPI()


class Request(BaseModel):
    """Rows."""

    inputs: list[list[float]]


class Answer(BaseModel):
    """Reconstructed rows."""

    reconstructions: list[list[float]]


@app.post("/reconstruct")
def reconstruct(request: Request) -> Answer:
    """Encode and decode."""
    rows = np.array(request.inputs, np.float32)
    (codes,) = encoder.run(["codes"], {"inputs": rows})
    (outputs,) = decoder.run(["outputs"], {"codes": codes})
    return Answer(reconstructions=np.asarray(outputs).tolist())
