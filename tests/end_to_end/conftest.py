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
def server(
    request: pytest.FixtureRequest, tiny_models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service with the flags that the module names as ``SERVER_FLAGS``, if it does."""
    log = tmp_path_factory.mktemp("server") / "log"
    flags: tuple[str, ...] = getattr(request.module, "SERVER_FLAGS", ())
    with serving(tiny_models_dir, log, *flags) as server:
        yield server


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=START_SECONDS) as client:
        yield client
