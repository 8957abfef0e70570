"""A worker publishes what its supervisor has to know."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.catalog import reconciler as reconciler_module
from service.catalog.desired_state import desire_folder
from tests.api.sockets import Server, open_server, request
from tests.bundles import PLANE, publish_tiny


@pytest.fixture(autouse=True)
def _logging_is_restored(restored_logging: None) -> None:
    """The service configures logging; the rest of the tests have their own."""


async def readiness(server: Server) -> int:
    async with server.connect() as client:
        await client.send(request(method="GET", path="/readyz"))
        return (await client.receive()).status


@pytest.mark.slow
async def test_whether_models_are_loaded_is_published_whenever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_tiny(tmp_path, PLANE)
    load_model = reconciler_module.load_model
    async with open_server(tmp_path) as server:
        status = server.service.status.workers[0]
        assert status.running
        assert not status.loading
        while_loading: list[bool] = []

        def load_and_look(*arguments: Any) -> Any:
            while_loading.append(status.loading)
            return load_model(*arguments)

        monkeypatch.setattr(reconciler_module, "load_model", load_and_look)
        for _ in range(2):
            shutil.rmtree(tmp_path / "plane")
            publish_tiny(tmp_path, PLANE)
            await server.service.reconciler.reconcile(desire_folder(tmp_path))
            assert not status.loading
            assert await readiness(server) == 200

    assert while_loading == [True, True]


async def test_heartbeats_are_counted_while_the_event_loop_turns(tmp_path: Path) -> None:
    publish_tiny(tmp_path, PLANE)
    async with open_server(tmp_path) as server:
        status = server.service.status.workers[0]
        before = status.heartbeats
        while status.heartbeats < before + 3:  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.01)
