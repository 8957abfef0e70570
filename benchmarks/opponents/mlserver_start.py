"""MLServer: two workers, adaptive batching for a millisecond, JSON of the Open Inference Protocol.

Source: MLServer's documentation of parallel inference, adaptive batching and settings.
"""

import json
import os
import socket
import sys
from pathlib import Path

SETTINGS = {
    "debug": False,
    "parallel_workers": 2,
    "host": "127.0.0.1",
    "metrics_endpoint": None,
    "gzip_enabled": False,
}
MODEL_SETTINGS = {
    "name": "autoencoder",
    "implementation": "mlserver_runtime.Autoencoder",
    "max_batch_size": 64,
    "max_batch_time": 0.001,
}


def main() -> None:
    """Write the settings and become the server."""
    folder = Path(os.environ["FOLDER"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        grpc_port = probe.getsockname()[1]
    ports = {"http_port": int(os.environ["PORT"]), "grpc_port": grpc_port}
    metrics = {"metrics_dir": str(folder / "metrics"), "environments_dir": str(folder / "envs")}
    (folder / "settings.json").write_text(json.dumps(SETTINGS | ports | metrics))
    model = folder / "autoencoder"
    model.mkdir()
    (model / "model-settings.json").write_text(json.dumps(MODEL_SETTINGS))
    program = Path(sys.executable).with_name("mlserver")
    os.execve(  # noqa: S606  # needs no shell
        program,
        [str(program), "start", str(folder)],
        os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )


if __name__ == "__main__":
    main()
