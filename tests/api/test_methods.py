"""HEAD is GET without a body, OPTIONS is answered everywhere, and ``Allow`` is true."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from service.api.dialects.native.calls import CALLS
from tests.api.clients import SHARED_LOOP, TITLES
from tests.api.sockets import Answer, Server, open_server, request

pytestmark = SHARED_LOOP

PATHS = ["/healthz", "/readyz", "/version", "/errors", "/docs", "/openapi.json", "/models",
         "/models/plane",
         "/models/stamp/report", "/static-offline-docs/swagger-ui.css"]  # fmt: skip
MISSING = ["/", "/nowhere", "/models/nobody", "/models/", "/static-offline-docs/nothing.js",
           "/static-offline-docs/%00", "/static-offline-docs/%2e%2e/core.py", "/models/%ff",
           "/static-offline-docs/" + "x" * 5000]  # fmt: skip
OTHER_METHODS = ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tiny_models_dir: Path) -> AsyncGenerator[list[Server]]:
    """One server with the fast path, and one that knows ASGI alone."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_server(tiny_models_dir, plain=plain))
            for plain in (False, True)
        ]


async def ask(server: Server, method: str, path: str) -> Answer:
    """Send one request; the answer to HEAD is read to its end, which shows that it has no body."""
    async with server.connect() as client:
        closing = {"Connection": "close", "Content-Length": "", "Host": "localhost"}
        await client.send(request(path=path, method=method, headers=closing))
        if method != "HEAD":
            return await client.receive()
        while not client._ended:
            await client._read()
        head, _, body = bytes(client._received).partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
    return Answer(int(status_line.split()[1]), headers, body)


@pytest.mark.parametrize("path", [*PATHS, *MISSING])
async def test_head_is_get_without_a_body(servers: list[Server], path: str) -> None:
    for server in servers:
        got, headed = await ask(server, "GET", path), await ask(server, "HEAD", path)

        assert headed.status == got.status == (200 if path in PATHS else 404), got.body
        assert headed.body == b""
        assert headed.values("content-length") == [str(len(got.body))]
        assert headed.comparable().headers == got.comparable().headers


async def test_head_of_metrics_states_a_length(servers: list[Server]) -> None:
    for server in servers:
        headed = await ask(server, "HEAD", "/metrics")

        assert (headed.status, headed.body) == (200, b"")
        assert int(headed.values("content-length")[0]) > 1000


@pytest.mark.parametrize("path", CALLS)
async def test_a_call_has_no_head(servers: list[Server], path: str) -> None:
    for server in servers:
        answer = await ask(server, "HEAD", path)

        assert (answer.status, answer.body, answer.values("allow")) == (405, b"", ["POST"])
        assert answer.values("content-type") == ["application/problem+json"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [*((path, "GET, HEAD") for path in PATHS), *((path, "POST") for path in CALLS)],
)
async def test_options_names_the_methods(servers: list[Server], path: str, methods: str) -> None:
    for server in servers:
        answer = await ask(server, "OPTIONS", path)

        assert (answer.status, answer.body) == (204, b"")
        assert answer.values("allow") == [methods]
        assert answer.values("content-length") == []
        assert len(answer.values("x-request-id")) == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", OTHER_METHODS)
async def test_other_methods_are_told_what_the_path_takes(
    servers: list[Server], method: str, path: str
) -> None:
    for server in servers:
        answer = await ask(server, method, path)

        assert answer.status == 405
        assert answer.values("allow") == ["GET, HEAD"]
        document = answer.json()
        assert document["detail"].endswith(" takes GET, HEAD")
        assert document["detail"].startswith(path[:8])
        assert "plane" not in document["detail"]
        assert document["title"] == TITLES[405, "method-not-allowed"]


@pytest.mark.parametrize("path", MISSING)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "TRACE"])
async def test_what_is_not_there_is_a_problem(
    servers: list[Server], method: str, path: str
) -> None:
    for server in servers:
        answer = await ask(server, method, path)

        assert answer.status in ((404,) if method == "GET" else (404, 405))
        document = answer.json()
        assert document["request_id"] == answer.values("x-request-id")[0]
        assert answer.values("content-type") == ["application/problem+json"]


async def test_problems_of_every_path_are_counted(tiny_models_dir: Path) -> None:
    async with open_server(tiny_models_dir) as server:
        await ask(server, "GET", "/nowhere")
        await ask(server, "PUT", "/models/plane")
        await ask(server, "GET", "/models/nobody")
        await ask(server, "GET", "/models/plane?version=0")
        await ask(server, "HEAD", "/models/nobody")
        await ask(server, "OPTIONS", "/models/plane")
        counted = (await ask(server, "GET", "/metrics")).body.decode()

    for call, status, times in (
        ("other", 404, 1),
        ("/models/{name}", 405, 1),
        ("/models/{name}", 404, 2),
        ("/models/{name}", 422, 1),
        ("/models/{name}", 204, 1),
    ):
        labels = f'call="{call}",model="",status="{status}",version=""'
        assert f"latentserve_requests_total{{{labels}}} {times}.0" in counted
    for call, problem in (
        ("other", "not-found"),
        ("/models/{name}", "method-not-allowed"),
        ("/models/{name}", "model-not-found"),
        ("/models/{name}", "invalid-input"),
    ):
        assert f'latentserve_problems_total{{call="{call}",model="",problem="{problem}"' in counted


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/version"])
async def test_what_holds_now_is_not_stored(servers: list[Server], path: str) -> None:
    answer = await ask(servers[0], "GET", path)

    assert answer.values("cache-control") == ["no-store"]
    assert len(answer.values("date")) == 1
    assert answer.values("server") == []
