"""Liveness, readiness and versions."""

import asyncio
import json
import os
from pathlib import Path

import onnxruntime

from service import __version__
from service.bundle.manifest import SCHEMA_VERSION
from service.catalog.desired_state import DesiredState, desire_folder
from tests.api.clients import SHARED_LOOP, Client, expect_problem, open_client
from tests.api.sockets import open_server, request
from tests.bundles import PLANE, STAMP, publish_tiny

pytestmark = SHARED_LOOP

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


async def test_a_process_that_runs_is_alive(client: Client) -> None:
    response = await client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_a_service_is_ready_when_every_version_is(client: Client) -> None:
    response = await client.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {
        "ready": True,
        "draining": False,
        "models": 6,
        "not_ready": [],
        "refused_folders": [],
    }


async def test_a_service_that_loads_is_alive_and_not_ready(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir, wait=False) as client:
        alive, ready = await asyncio.gather(client.get("/healthz"), client.get("/readyz"))

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["ready"] is False
    assert {
        "model": "plane",
        "version": 1,
        "state": "loading",
        "reason": None,
        "blocks_readiness": True,
    } in ready.json()["not_ready"]


async def test_a_model_without_a_version_that_answers_keeps_a_service_from_being_ready(
    tmp_path: Path,
) -> None:
    (publish_tiny(tmp_path, PLANE).folder / "golden.npz").unlink()
    async with open_client(tmp_path) as client:
        response = await client.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {
        "ready": False,
        "draining": False,
        "models": 1,
        "not_ready": [
            {
                "model": "plane",
                "version": 1,
                "state": "refused",
                "reason": "BundleFileMissing: golden.npz is missing",
                "blocks_readiness": True,
            }
        ],
        "refused_folders": [],
    }


async def test_a_refused_version_beside_one_that_answers_is_listed_and_the_service_ready(
    tmp_path: Path,
) -> None:
    publish_tiny(tmp_path, PLANE)
    (publish_tiny(tmp_path, PLANE).folder / "golden.npz").unlink()
    async with open_client(tmp_path) as client:
        response = await client.get("/readyz")

    assert response.status_code == 200
    (refused,) = response.json()["not_ready"]
    assert (refused["version"], refused["state"]) == (2, "refused")
    assert refused["blocks_readiness"] is False


async def test_folders_that_cannot_be_served_are_listed_whatever_their_names(
    tmp_path: Path,
) -> None:
    publish_tiny(tmp_path, PLANE)
    for name in (b"\xff\xfe", b"Plane", b"a\nb"):
        folder = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118  # not text
        os.mkdir(folder)  # noqa: PTH102
        os.mkdir(os.path.join(folder, b"1"))  # noqa: PTH102, PTH118
    async with open_client(tmp_path) as client:
        ready = await client.get("/readyz")
        listed = await client.get("/models")
        metrics = await client.get("/metrics")
        answer = await client.answer("encode", inputs=PLANE.rows(1).tolist())

    assert ready.status_code == 503
    folders = ready.json()["refused_folders"]
    assert [folder["path"] for folder in folders] == ["Plane/1", "a\\nb/1", "\\xff\\xfe/1"]
    assert all(folder["blocks_readiness"] for folder in folders)
    assert listed.json()["refused_folders"][0] == {
        "path": "Plane/1",
        "reason": "MisplacedBundle: the name of a model has 1 to 64 lower-case letters, digits and"
        " hyphens, and begins with a letter or a digit",
    }
    assert metrics.status_code == 200
    assert "latentserve_refused_folders 3.0" in metrics.text
    assert answer["model"] == "plane"


async def test_a_refused_version_that_is_not_required_is_listed_and_the_service_ready(
    tmp_path: Path,
) -> None:
    publish_tiny(tmp_path, PLANE)
    (publish_tiny(tmp_path, STAMP).folder / "golden.npz").unlink()
    async with open_client(tmp_path, required_models=("plane",)) as client:
        response = await client.get("/readyz")

    assert response.status_code == 200
    assert response.json()["ready"] is True
    (refused,) = response.json()["not_ready"]
    assert (refused["model"], refused["state"]) == ("stamp", "refused")
    assert refused["blocks_readiness"] is False


async def test_a_version_that_comes_later_and_is_refused_leaves_the_service_ready(
    tmp_path: Path,
) -> None:
    publish_tiny(tmp_path, PLANE)
    async with open_server(tmp_path) as server, server.connect() as client:
        reconciler = server.service.reconciler
        damaged = publish_tiny(tmp_path, PLANE)
        (damaged.folder / "golden.npz").unlink()
        first, second = desire_folder(tmp_path).versions
        await reconciler.reconcile(
            DesiredState((first, second), required_models=frozenset({"plane"}))
        )
        await client.send(request(path="/readyz", method="GET"))
        response = await client.receive()

    assert response.status == 200
    (refused,) = response.json()["not_ready"]
    assert (refused["version"], refused["blocks_readiness"]) == (2, False)


async def test_a_service_that_drains_says_so_and_answers_everything_else(
    tmp_path: Path,
) -> None:
    publish_tiny(tmp_path, PLANE)
    body = json.dumps({"inputs": PLANE.rows(1).tolist()}).encode()
    async with open_server(tmp_path) as server, server.connect() as client:
        server.service.status.start_draining()
        await client.send(request(path="/readyz", method="GET"))
        ready = await client.receive()
        await client.send(request(path="/healthz", method="GET"))
        alive = await client.receive()
        await client.send(request(body))
        answer = await client.receive()

    assert ready.status == 503
    assert ready.json() == {
        "ready": False,
        "draining": True,
        "models": 1,
        "not_ready": [],
        "refused_folders": [],
    }
    assert alive.status == 200
    assert answer.status == 200


async def test_a_service_without_models_is_not_ready(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        response = await client.get("/readyz")
        call = await client.call("encode", inputs=[[1]])

    assert response.status_code == 503
    assert response.json() == {
        "ready": False,
        "draining": False,
        "models": 0,
        "not_ready": [],
        "refused_folders": [],
    }
    assert expect_problem(call, 404, "model-not-found")["detail"] == "no model is configured"


async def test_versions_are_told(client: Client) -> None:
    response = await client.get("/version")

    assert response.json() == {
        "service": __version__,
        "bundle_schema": SCHEMA_VERSION,
        "onnxruntime": onnxruntime.__version__,
        "providers": [
            name
            for name, full_name in PROVIDERS.items()
            if full_name in onnxruntime.get_available_providers()
        ],
    }
