"""One running service for the tests of a module."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.servers import START_SECONDS, Server, serving

# As the service does before it imports onnxruntime, which some tests run without the service.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


@pytest.fixture(scope="module")
def server(tiny_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(tiny_models_dir, log) as server:
        yield server


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=START_SECONDS) as client:
        yield client
