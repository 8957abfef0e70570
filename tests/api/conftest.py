"""The whole application over the tiny models, in this process."""

import logging
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from tests.api.clients import Client, open_client


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """Undo what an application does to logging: the rest of the tests have their own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
async def client(tiny_models_dir: Path) -> AsyncGenerator[Client]:
    async with open_client(tiny_models_dir) as client:
        yield client
