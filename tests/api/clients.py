"""A client of the whole application in this process, and what every error must look like."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.authentication import Authenticator
from service.api.middleware import Application
from service.api.problems import PROBLEMS
from service.app import create_service
from service.settings import Settings

# The mark of modules that use the fixture ``client``.
SHARED_LOOP = pytest.mark.asyncio(loop_scope="module")

JSON = "application/json"
NPY = "application/x-npy"
RAW = "application/octet-stream"
PNG = "image/png"
JPEG = "image/jpeg"

TITLES = {(problem.status, problem.slug): problem.title for problem in PROBLEMS.values()}
JSON_BODY = {"content-type": JSON}


class Client(httpx.AsyncClient):
    """Calls the application directly, over ASGI."""

    def __init__(self, app: Application) -> None:
        transport = httpx.ASGITransport(app=app)
        super().__init__(transport=transport, base_url="http://latentserve")
        self.app = app

    async def call(self, call: str, **fields: Any) -> httpx.Response:
        """Make a call in JSON."""
        return await self.post(f"/{call}", content=json.dumps(fields), headers=JSON_BODY)

    async def answer(self, call: str, **fields: Any) -> dict[str, Any]:
        """Make a call in JSON that must succeed, and return its answer."""
        response = await self.call(call, **fields)
        assert response.status_code == 200, response.text
        return response.json()

    async def rows(self, call: str, rows: np.ndarray, accept: str = NPY, **query: Any) -> Any:
        """Make a call in npy that must succeed, and return its array."""
        headers = {"content-type": NPY, "accept": accept}
        response = await self.post(
            f"/{call}", content=npy_bytes(rows), params=query, headers=headers
        )
        assert response.status_code == 200, response.text
        return np.load(BytesIO(response.content))


def quiet_settings(models_dir: Path, **settings: Any) -> Settings:
    """Make settings of a service that logs errors alone and runs a batch at a time."""
    quiet = {"access_log": False, "log_level": "error", "threads": 1}
    return Settings(models_dir=models_dir, **{**quiet, **settings})


@asynccontextmanager
async def open_client(
    models_dir: Path,
    *,
    wait: bool = True,
    authenticator: Authenticator | None = None,
    **settings: Any,
) -> AsyncGenerator[Client]:
    """Start the application, wait until every bundle has been loaded or refused, and stop it."""
    app = create_service(quiet_settings(models_dir, **settings), authenticator=authenticator).app
    async with lifespan(app), Client(app) as client:
        while wait and "loading" in (await client.get("/readyz")).text:  # noqa: ASYNC110  # a client can only ask
            await asyncio.sleep(0.005)
        yield client


@asynccontextmanager
async def lifespan(app: Application) -> AsyncGenerator[None]:
    """Send an application the messages of its start and its end, as a server does."""
    to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    from_app: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}

    async def pass_through(stage: str) -> None:
        await to_app.put({"type": f"lifespan.{stage}"})
        message = await from_app.get()
        assert message["type"] == f"lifespan.{stage}.complete", message

    running = asyncio.create_task(app(scope, to_app.get, from_app.put))  # pyright: ignore[reportArgumentType]  # a coroutine function
    await pass_through("startup")
    try:
        yield
    finally:
        await pass_through("shutdown")
        await running


def npy_bytes(values: np.ndarray, **options: Any) -> bytes:
    """Write an array as NumPy does."""
    stream = BytesIO()
    np.save(stream, values, **options)
    return stream.getvalue()


def expect_problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Check that a response is that problem, in the one shape all errors have.

    Returns:
        The problem document.
    """
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    members = ["type", "title", "status", "detail", "request_id", "errors"]
    assert list(document) in (members, [*members, "example"])
    assert document["type"] == f"/errors#{slug}"
    assert document["title"] == TITLES[status, slug]
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    expect_sentence(document["detail"])
    for error in document["errors"]:
        assert list(error) == ["pointer", "detail"]
        assert error["pointer"] == "" or error["pointer"].startswith("/")
        expect_sentence(error["detail"])
    return document


def expect_sentence(text: str) -> None:
    """Check that a text is one short line for people: no traceback, no dump of a value."""
    assert text.strip() == text
    assert 8 <= len(text) <= 300, text
    assert "\n" not in text
    assert "Traceback" not in text
