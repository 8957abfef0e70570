"""Who sent a request is found once, stays with it, and decides what it may do, on every way."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.api.problems import PROBLEMS, Problem
from service.app import create_service
from service.errors import RequestError
from service.request_context import Principal
from tests.api.clients import Client, lifespan, quiet_settings
from tests.api.sockets import open_server, request
from tests.bundles import PLANE

BODY = json.dumps({"model": "plane", "inputs": PLANE.rows(1).tolist()}).encode()


class KeyMissing(RequestError):
    """The request has no key."""


class NotAllowed(RequestError):
    """The key is not for this."""


@pytest.fixture(autouse=True)
def _problems_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        PROBLEMS,
        KeyMissing,
        Problem(
            401,
            "key-missing",
            "There is no key",
            "Send one.",
            headers=lambda error: [(b"www-authenticate", f'Bearer realm="{error}"'.encode())],
        ),
    )
    monkeypatch.setitem(
        PROBLEMS, NotAllowed, Problem(403, "not-allowed", "The key is not for this", "Ask for it.")
    )


class Keys:
    """Names principals by their header; only ``encode`` of ``plane`` is for everyone."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        name = headers.get(b"x-key")
        if name is None:
            raise KeyMissing("every request needs a key")
        return Principal(name.decode())

    def authorize(self, principal: Principal, operation: str, model: str) -> None:
        self.asked.append((principal.name, operation, model))
        if (operation, model) != ("encode", "plane") and principal.name != "owner":
            raise NotAllowed(f"{operation} of {model} is not for this key")


async def test_the_calls_ask_who_and_then_whether_they_may(tiny_models_dir: Path) -> None:
    keys = Keys()
    settings = quiet_settings(tiny_models_dir)
    app = create_service(settings, authenticator=keys).app
    async with lifespan(app), Client(app) as client:
        nobody = await client.post("/encode", content=BODY)
        while (await client.get("/readyz")).status_code == 503:  # noqa: ASYNC110  # a client can only ask
            await asyncio.sleep(0.005)
        guest = await client.post("/encode", content=BODY, headers={"X-Key": "guest"})
        forbidden = await client.post("/decode", content=b'{"model": "plane", "codes": [[1, 2]]}',
                                      headers={"X-Key": "guest"})  # fmt: skip
        owner = await client.post("/reconstruct", content=BODY, headers={"X-Key": "owner"})

    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"] == 'Bearer realm="every request needs a key"'
    assert nobody.json()["type"] == "/errors#key-missing"
    assert (guest.status_code, owner.status_code) == (200, 200)
    assert forbidden.status_code == 403
    assert forbidden.json()["detail"] == "decode of plane is not for this key"
    assert keys.asked[-3:] == [
        ("guest", "encode", "plane"),
        ("guest", "decode", "plane"),
        ("owner", "reconstruct", "plane"),
    ]


async def test_routes_ask_the_same_but_for_what_probes_read(tiny_models_dir: Path) -> None:
    settings = quiet_settings(tiny_models_dir)
    app = create_service(settings, authenticator=Keys()).app
    paths = ("/models", "/models/plane", "/metrics", "/healthz", "/readyz", "/version", "/errors")
    async with lifespan(app), Client(app) as client:
        while (await client.get("/readyz")).status_code == 503:  # noqa: ASYNC110  # a client can only ask
            await asyncio.sleep(0.005)
        without = [(await client.get(path)).status_code for path in paths]
        with_key = [await client.get(path, headers={"X-Key": "guest"}) for path in paths]

    assert without == [401, 401, 401, 200, 200, 200, 200]
    assert {response.status_code for response in with_key} == {200}


async def test_the_fast_path_asks_the_same(
    tiny_models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys()
    async with open_server(tiny_models_dir) as server, server.connect() as client:
        monkeypatch.setattr(server.service.pipeline, "_authenticator", keys)
        await client.send(request(BODY))
        nobody = await client.receive()
        await client.send(request(BODY, headers={"X-Key": "guest"}))
        guest = await client.receive()

    assert (nobody.status, guest.status) == (401, 200)
    assert nobody.values("www-authenticate") == ['Bearer realm="every request needs a key"']
    assert keys.asked == [("guest", "encode", "plane")]
