"""The whole application over the tiny models, in this process."""

from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop

from service import app
from tests.api.clients import Client, open_client
from tests.api.sockets import Server, open_server
from tests.faulty_model import publish_faulty_model


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], AbstractEventLoop]]:
    """Run these tests on the loop that serves."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def _logging_is_restored(restored_logging: None) -> None:
    """An application configures logging; the rest of the tests have their own."""


@pytest.fixture(scope="session", autouse=True)
def _verified_in_this_process() -> Iterator[None]:
    """Verify bundles here: a program of its own takes longer to import than most of these tests.

    ``tests/catalog/test_verifier.py`` and ``tests/faults`` have it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "Verifier", lambda _limits: None)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tiny_models_dir: Path) -> AsyncGenerator[Client]:
    """One application for a module, whose tests run in the same loop (``SHARED_LOOP``)."""
    async with open_client(tiny_models_dir) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def faulty_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Server]:
    """A server of a model that is slow or fails when its rows say so, for a module."""
    folder = tmp_path_factory.mktemp("moody")
    publish_faulty_model(folder)
    async with open_server(folder) as server:
        yield server
