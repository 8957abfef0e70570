"""Under a prefix, of another application or a proxy, the service answers as it does alone."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from service.app import create_app
from tests.api.clients import Client, lifespan, open_client, quiet_settings
from tests.api.sockets import open_server, request
from tests.bundles import PLANE


@pytest.mark.parametrize("prefix", ["/models-of/plane", "/v1"])
async def test_every_path_answers_below_the_prefix(tiny_models_dir: Path, prefix: str) -> None:
    settings = quiet_settings(tiny_models_dir)
    app = create_app(settings)
    outer = Starlette(routes=[Mount(prefix, app)])
    async with lifespan(app), Client(outer) as client:
        while (await client.get(f"{prefix}/readyz")).status_code == 503:  # noqa: ASYNC110  # a client can only ask
            await asyncio.sleep(0.005)
        codes = await client.answer(
            f"{prefix[1:]}/encode", model="plane", inputs=PLANE.rows(2).tolist()
        )
        wrong_method = await client.get(f"{prefix}/encode")
        listed = await client.get(f"{prefix}/models")
        outside = await client.post("/encode")

    assert len(codes["codes"]) == 2
    assert wrong_method.status_code == 405
    assert "plane" in listed.text
    assert outside.status_code == 404


async def ready_client(stack: AsyncExitStack, models_dir: Path, **settings: Any) -> Client:
    client = await stack.enter_async_context(open_client(models_dir, **settings))
    assert (await client.get("/readyz")).status_code == 200
    return client


PREFIXED: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"root_path": "/ml"}, {}),
    ({"root_path": "ml/"}, {"X-Forwarded-Prefix": "/ignored"}),
    ({"trusted_proxies": ("127.0.0.1",)}, {"X-Forwarded-Prefix": "/ml"}),
    ({"trusted_proxies": ("127.0.0.1",), "root_path": "/old"}, {"X-Forwarded-Prefix": "/ml/"}),
]


@pytest.mark.parametrize("path", ["", "/ml"], ids=["stripped", "kept"])
@pytest.mark.parametrize(("settings", "headers"), PREFIXED)
async def test_behind_a_proxy_everything_leads_to_where_it_is(
    tiny_models_dir: Path, settings: dict[str, Any], headers: dict[str, str], path: str
) -> None:
    """Whether the proxy removes the prefix or not, a browser finds it all below the prefix."""
    async with AsyncExitStack() as stack:
        client = await ready_client(stack, tiny_models_dir, **settings)
        client.headers.update(headers)
        page = await client.get(f"{path}/docs")
        links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
        links += re.findall(r"url: '([^']+)'", page.text)
        assert len(links) == 4
        for link in links:
            assert link.startswith("/ml/"), link
            assert (
                await client.get(link.removeprefix("/ml" if not path else ""))
            ).status_code == 200
        document = (await client.get(f"{path}/openapi.json")).json()
        assert document["servers"] == [{"url": "/ml"}]
        call = await client.post(
            f"{path}/encode", json={"inputs": PLANE.rows(1).tolist(), "model": "plane"}
        )
        assert call.status_code == 200
        for problem in (
            await client.post(f"{path}/encode", content=b"["),
            await client.get(f"{path}/models/nobody"),
            await client.get(f"{path}/nowhere"),
            await client.put(f"{path}/models"),
            await client.get(f"{path}/models/plane?version=0"),
            await client.get(f"{path}/static-offline-docs/nothing"),
            await client.get(f"{path}/models", headers={"Origin": "null"}),
        ):
            address, _, anchor = problem.json()["type"].partition("#")
            assert address == "/ml/errors"
            errors = await client.get(address if path else "/errors")
            assert f'id="{anchor}"' in errors.text


async def test_a_prefix_of_a_stranger_is_ignored(tiny_models_dir: Path) -> None:
    async with AsyncExitStack() as stack:
        client = await ready_client(stack, tiny_models_dir, trusted_proxies=("10.0.0.0/8",))
        headers = {"X-Forwarded-Prefix": "/ml"}
        document = (await client.get("/openapi.json", headers=headers)).json()
        problem = await client.post("/encode", content=b"[", headers=headers)

    assert "servers" not in document
    assert problem.json()["type"] == "/errors#malformed-body"


async def test_prefixes_of_proxy_and_outer_application_add_up(tiny_models_dir: Path) -> None:
    app = create_app(quiet_settings(tiny_models_dir, root_path="/ml"))
    outer = Starlette(routes=[Mount("/v1", app)])
    async with lifespan(app), Client(outer) as client:
        page = await client.get("/v1/docs")
        document = (await client.get("/v1/openapi.json")).json()
        problem = await client.post("/v1/encode", content=b"[")
        style = await client.get("/v1/static-offline-docs/swagger-ui.css")
        head = await client.head("/v1/healthz")

    assert "/ml/v1/static-offline-docs/swagger-ui.css" in page.text
    assert document["servers"] == [{"url": "/ml/v1"}]
    assert problem.json()["type"] == "/ml/v1/errors#malformed-body"
    assert (style.status_code, head.status_code, head.content) == (200, 200, b"")


async def test_a_mounted_application_answers_under_any_host(tiny_models_dir: Path) -> None:
    """It does not know what its server listens on; hosts are checked where they are named."""
    app = create_app(quiet_settings(tiny_models_dir))
    strict = create_app(quiet_settings(tiny_models_dir, allowed_hosts=("models.example",)))
    async with Client(app) as client, Client(strict) as refusing:
        assert (await client.get("/healthz", headers={"Host": "any.example"})).status_code == 200
        assert (await refusing.get("/healthz")).status_code == 421
        named = {"Host": "models.example"}
        assert (await refusing.get("/healthz", headers=named)).status_code == 200


@pytest.mark.parametrize("path", ["/encode", "/ml/encode"])
async def test_calls_are_answered_below_the_prefix_too(tiny_models_dir: Path, path: str) -> None:
    body = json.dumps({"inputs": PLANE.rows(1).tolist(), "model": "plane"}).encode()
    async with (
        open_server(tiny_models_dir, root_path="/ml") as server,
        server.connect() as client,
    ):
        await client.send(request(body, path))
        answer = await client.receive()
        await client.send(request(b"[", path))
        problem = await client.receive()
        await client.send(request(body, "/ml" * 9000 + "/encode"))
        missing = await client.receive()

    assert (answer.status, missing.status) == (200, 404)
    assert problem.json()["type"] == "/ml/errors#malformed-body"
