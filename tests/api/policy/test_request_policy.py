"""Hosts, origins, proxies and traces, on both ways: straight from the socket, and over ASGI."""

import json
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.api.policy.request_policy import OPEN_POLICY
from tests.api.clients import SHARED_LOOP, TITLES
from tests.api.sockets import Answer, Server, open_server, request
from tests.bundles import PLANE

pytestmark = SHARED_LOOP

PAGE = "https://app.example.org"
SETTINGS: dict[str, Any] = {
    "allowed_hosts": ("localhost", "*.example.org"),
    "cors_origins": (PAGE,),
    "trusted_proxies": ("127.0.0.1",),
    "access_log": True,
    "log_level": "info",
}
HOST = {"Host": "localhost:8000"}
BODY = json.dumps({"model": "plane", "inputs": PLANE.rows(1).tolist()}).encode()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
# A call that succeeds, one that fails in a model, and a path of the framework; then one not there.
TARGETS = [("POST", "/encode", BODY), ("POST", "/encode", b"{}"), ("GET", "/models", b""),
           ("GET", "/models/nobody", b""), ("GET", "/nowhere", b"")]  # fmt: skip
CHUNKED = b"1\r\n{\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY) - 1, BODY[1:])


class Lines(logging.Handler):
    """Keeps the access log."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.facts.append(record.__dict__)


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger = logging.getLogger("service.access")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tiny_models_dir: Path) -> AsyncGenerator[list[Server]]:
    """One server with the fast path, and one that knows ASGI alone."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_server(tiny_models_dir, plain=plain, **SETTINGS))
            for plain in (False, True)
        ]


async def ask(server: Server, said: bytes) -> Answer:
    async with server.connect() as client:
        await client.send(said)
        return await client.receive()


async def ask_both(servers: list[Server], said: bytes) -> Answer:
    """Send the same to both, whose answers must be the same."""
    fast, plain = [await ask(server, said) for server in servers]
    own = ("keep-alive", "content-length")
    assert fast.comparable(*own).headers == plain.comparable(*own).headers
    assert fast.status == plain.status
    return fast


def expect_problem(answer: Answer, status: int, slug: str) -> None:
    assert answer.status == status, answer.body
    document = answer.json()
    assert (document["type"], document["status"]) == (f"/errors#{slug}", status)
    assert document["title"] == TITLES[status, slug]
    assert answer.values("x-request-id") == [document["request_id"]]
    assert answer.values("content-type") == ["application/problem+json"]


@pytest.mark.parametrize("headers", [{}, {b"sec-fetch-mode": b"cors"}, {b"host": b"anything"}])
async def test_clients_that_are_not_browsers_are_asked_nothing(headers: dict[bytes, bytes]) -> None:
    OPEN_POLICY.check("POST", headers, None)

    assert OPEN_POLICY.response_headers(headers) == []


@pytest.mark.parametrize(("method", "path", "body"), TARGETS)
@pytest.mark.parametrize("host", ["attacker.example", "localhost.attacker.example:8000"])
async def test_a_rebound_name_is_refused(
    servers: list[Server], host: str, method: str, path: str, body: bytes
) -> None:
    answer = await ask_both(servers, request(body, path, method, headers={"Host": host}))

    expect_problem(answer, 421, "host-not-allowed")
    assert "attacker" not in answer.body.decode()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "models.example.org:443"])
async def test_allowed_hosts_are_answered(servers: list[Server], host: str) -> None:
    for _ in range(2):
        answer = await ask_both(servers, request(BODY, headers={"Host": host}))
        assert answer.status == 200, answer.body


async def test_a_request_of_http_1_0_needs_no_host(servers: list[Server]) -> None:
    for server in servers:
        said = request(BODY, version="1.0", headers={"Host": ""})
        assert (await ask(server, said)).status == 200


@pytest.mark.parametrize(("method", "path", "body"), TARGETS)
@pytest.mark.parametrize("origin", ["https://attacker.example", "null", "http://localhost:3000"])
async def test_another_page_is_refused(
    servers: list[Server], origin: str, method: str, path: str, body: bytes
) -> None:
    headers = {**HOST, "Origin": origin}
    answer = await ask_both(servers, request(body, path, method, headers=headers))

    expect_problem(answer, 403, "cross-site-request")
    assert "LATENTSERVE_CORS_ORIGINS" in answer.json()["detail"]
    assert answer.values("access-control-allow-origin") == []
    assert answer.values("vary") == ["Origin"]


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "application/json", ""]
)
async def test_no_simple_request_of_a_page_drives_a_call(
    servers: list[Server], content_type: str
) -> None:
    """What a browser sends without a preflight, whatever it names the body."""
    site = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", **HOST}
    headers = {**site, "Content-Type": content_type}

    answer = await ask_both(servers, request(BODY, headers=headers))
    expect_problem(answer, 403, "cross-site-request")
    answer = await ask_both(servers, request(path="/sample?model=plane&count=5", headers=site))
    expect_problem(answer, 403, "cross-site-request")


async def test_a_person_at_a_terminal_is_answered(servers: list[Server]) -> None:
    form = {**HOST, "Content-Type": "application/x-www-form-urlencoded"}

    assert (await ask_both(servers, request(BODY, headers=form))).status == 200


async def test_a_body_in_chunks_is_refused_by_its_head(servers: list[Server]) -> None:
    chunked = {"Content-Length": "", "Transfer-Encoding": "chunked"}
    refused = {**HOST, **chunked, "Origin": "null"}
    answer = await ask_both(servers, request(headers=refused) + CHUNKED)
    expect_problem(answer, 403, "cross-site-request")
    allowed = {**HOST, **chunked, "Origin": PAGE}
    answer = await ask_both(servers, request(headers=allowed) + CHUNKED)
    assert (answer.status, answer.values("access-control-allow-origin")) == (200, [PAGE])


@pytest.mark.parametrize(("method", "path", "body"), TARGETS)
async def test_an_allowed_page_reads_every_answer(
    servers: list[Server], method: str, path: str, body: bytes
) -> None:
    headers = {**HOST, "Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
    for _ in range(2):
        answer = await ask_both(servers, request(body, path, method, headers=headers))

        assert answer.status != 403
        assert answer.values("access-control-allow-origin") == [PAGE]
        assert "X-Shape" in answer.values("access-control-expose-headers")[0]
        assert answer.values("vary") == ["Origin"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/encode", "POST"), ("/sample", "POST"), ("/models", "GET, HEAD"),
     ("/models/plane/report", "GET, HEAD"), ("/healthz", "GET, HEAD"),
     ("/nowhere", "GET, HEAD, POST")],
)  # fmt: skip
async def test_a_preflight_of_every_path_is_answered(
    servers: list[Server], path: str, methods: str
) -> None:
    preflight = {
        **HOST,
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
        "Content-Length": "",
    }
    answer = await ask_both(servers, request(path=path, method="OPTIONS", headers=preflight))

    assert (answer.status, answer.body) == (204, b"")
    assert answer.values("access-control-allow-origin") == [PAGE]
    assert answer.values("access-control-allow-methods") == [methods]
    assert answer.values("access-control-allow-headers") == ["content-type"]
    assert answer.values("access-control-max-age") == ["3600"]
    assert answer.values("allow") == [methods]

    preflight["Origin"] = "https://attacker.example"
    answer = await ask_both(servers, request(path=path, method="OPTIONS", headers=preflight))
    expect_problem(answer, 403, "cross-site-request")
    assert answer.values("access-control-allow-methods") == []


@pytest.mark.parametrize(("method", "path", "body"), TARGETS)
async def test_nothing_is_added_without_the_setting(
    tiny_models_dir: Path, method: str, path: str, body: bytes
) -> None:
    async with open_server(tiny_models_dir) as server:
        headers = {"Origin": "http://latentserve"}
        answer = await ask(server, request(body, path, method, headers=headers))

    names = [name for name, _ in answer.headers]
    assert not [name for name in names if name.startswith("access-control") or name == "vary"]


@pytest.mark.parametrize(("method", "path", "body"), TARGETS)
async def test_lines_name_client_and_trace(
    servers: list[Server], lines: Lines, method: str, path: str, body: bytes
) -> None:
    said = {
        **HOST,
        "X-Forwarded-For": "1.1.1.1, 203.0.113.9",
        "traceparent": f"00-{TRACE}-{SPAN}-01",
    }
    await ask_both(servers, request(body, path, method, headers=said))
    await ask_both(servers, request(body, path, method, headers=HOST))
    broken = {**HOST, "X-Forwarded-For": "x' \t{}", "traceparent": f"00-{TRACE}-{SPAN}-01 evil"}
    await ask_both(servers, request(body, path, method, headers=broken))

    names = ("client", "trace_id", "parent_span_id")
    written = [{name: line[name] for name in names if name in line} for line in lines.facts]
    full = {"client": "203.0.113.9", "trace_id": TRACE, "parent_span_id": SPAN}
    assert written == [full] * 2 + [{"client": "127.0.0.1"}] * 4


async def test_a_path_neither_ends_its_line_nor_fills_the_log(
    servers: list[Server], lines: Lines
) -> None:
    await ask(servers[0], request(path="/x%0Aevil%1b%5b31m", method="GET", headers=HOST))
    await ask(servers[0], request(path="/" + "y" * 5000, method="GET", headers=HOST))

    assert [line["path"] for line in lines.facts] == ["/x\\nevil\\x1b[31m", "/" + "y" * 255]
