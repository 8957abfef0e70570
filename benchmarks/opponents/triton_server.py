"""Triton without a container: the server that comes with pytriton, its Python backend.

pytriton's package has no ONNX backend, so a model of the Python backend runs onnxruntime: two
instances, dynamic batching without a delay, one thread each. pytriton's own way of serving would
add a hop between Triton and a process of its own.
Source: Triton's user guide, model configuration and Python backend.
"""

# pyright: reportMissingImports=false
# Runs in an environment of its own.

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import onnxruntime
import pytriton

CONFIGURATION = """
name: "autoencoder"
backend: "python"
max_batch_size: 256
input [{{ name: "inputs" data_type: TYPE_FP32 dims: [{dimensions}] }}]
output [{{ name: "outputs" data_type: TYPE_FP32 dims: [{dimensions}] }}]
instance_group [{{ count: 2 kind: KIND_CPU }}]
dynamic_batching {{ }}
"""


def main() -> None:
    """Write a model repository and become the server."""
    folder = Path(os.environ["FOLDER"])
    shape = onnxruntime.InferenceSession(os.environ["MODEL"]).get_inputs()[0].shape[1:]
    model = folder / "repository" / "autoencoder"
    (model / "1").mkdir(parents=True)
    dimensions = ", ".join(map(str, shape))
    (model / "config.pbtxt").write_text(CONFIGURATION.format(dimensions=dimensions))
    shutil.copy(Path(__file__).with_name("triton_model.py"), model / "1" / "model.py")

    package = Path(str(pytriton.__file__)).parent
    backends = folder / "backends"
    shutil.copytree(package / "tritonserver" / "backends", backends)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stubs = package / "tritonserver" / "python_backend_stubs"
    shutil.copy(stubs / version / "triton_python_backend_stub", backends / "python")

    libraries = package.parent / "nvidia_pytriton.libs"
    server = package / "tritonserver" / "bin" / "tritonserver"
    os.execve(  # noqa: S606  # needs no shell
        server,
        [
            str(server),
            f"--model-repository={folder / 'repository'}",
            f"--backend-directory={backends}",
            "--http-address=127.0.0.1",
            f"--http-port={os.environ['PORT']}",
            "--allow-grpc=false",
            "--allow-metrics=false",
            "--log-info=false",
        ],
        os.environ
        | {
            "LD_LIBRARY_PATH": str(libraries),
            # The stub embeds an interpreter that knows nothing of this environment.
            "PYTHONPATH": sysconfig.get_path("purelib"),
        },
    )


if __name__ == "__main__":
    main()
