"""Starts the BentoML service, with its files where they go away again."""

import os
import sys
from pathlib import Path

program = Path(sys.executable).with_name("bentoml")
service = f"{Path(__file__).with_name('bentoml_service.py').name}:Autoencoder"
listen = ["--host", "127.0.0.1", "--port", os.environ["PORT"]]
os.execve(  # noqa: S606  # needs no shell
    program,
    [str(program), "serve", service, "--working-dir", str(Path(__file__).parent), *listen],
    os.environ | {"BENTOML_HOME": os.environ["FOLDER"]},
)
