"""Under a prefix of another application the service answers as it does alone."""

import asyncio
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from service.app import create_app
from tests.api.clients import Client, lifespan, quiet_settings
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
