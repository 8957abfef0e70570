"""Ray Serve: two replicas behind its HAProxy, `serve.batch` for a millisecond, raw or JSON rows.

Its variables are in ray_serve_start.py: Ray reads them when it is imported.
Source: Ray Serve's documentation of performance tuning and of dynamic request batching.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false
# Runs in an environment of its own, whose decorators are not to be seen here.

import os
import signal

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


@serve.deployment(num_replicas=2, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.5})
class Autoencoder:
    """The autoencoder."""

    def __init__(self) -> None:
        """Open the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
        self.row_shape = self.session.get_inputs()[0].shape[1:]

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.001)
    async def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Run the graph on the rows of all requests that were gathered."""
        (outputs,) = self.session.run(None, {"inputs": np.concatenate(inputs)})
        return np.split(np.asarray(outputs), np.cumsum([len(rows) for rows in inputs])[:-1])

    async def __call__(self, request: Request) -> Response:
        """Read rows, run them, write them."""
        in_json = request.headers["content-type"] == "application/json"
        if in_json:
            rows = np.array((await request.json())["inputs"], np.float32)
        else:
            rows = np.frombuffer(await request.body(), np.float32)
        outputs = await self.run(rows.reshape(-1, *self.row_shape))
        if in_json:
            return JSONResponse({"reconstructions": outputs.tolist()})
        return Response(outputs.tobytes(), media_type="application/octet-stream")


def main() -> None:
    """Start a cluster of this machine alone, and serve until told to stop."""
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=os.environ["FOLDER"],
        object_store_memory=2**28,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Autoencoder.bind(), route_prefix="/reconstruct")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
