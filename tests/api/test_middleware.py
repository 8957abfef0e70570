"""What every request has, whoever answers it: an id, a log line, and no bare failure."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api.middleware import Receive, RecordMiddleware, Scope, Send
from service.metrics.recorder import Recorder
from service.metrics.segments import SharedMemory
from tests.api.clients import SHARED_LOOP, Client, expect_problem, open_client
from tests.bundles import PLANE

pytestmark = SHARED_LOOP

PATHS = ["/healthz", "/models", "/models/nobody", "/nowhere", "/encode", "/sample"]
INPUTS = PLANE.rows(2).tolist()


class Lines(logging.Handler):
    """Keeps the log's records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def requests(self) -> list[dict[str, object]]:
        facts = ("method", "path", "status", "model", "rows", "problem")
        return [
            {name: record.__dict__[name] for name in facts if name in record.__dict__}
            for record in self.records
            if record.name == "service.access"
        ]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger = logging.getLogger("service")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def nothing_counted() -> Recorder:
    return Recorder(SharedMemory(1).segments[0])


@pytest.mark.parametrize("path", PATHS)
async def test_a_request_keeps_the_id_it_came_with(client: Client, path: str) -> None:
    response = await client.get(path, headers={"x-request-id": "trace:7/a.b_c+d=e-f"})

    assert response.headers.get_list("x-request-id") == ["trace:7/a.b_c+d=e-f"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", [None, "", "a b", "<script>", "x" * 129, "é"])
async def test_a_request_without_a_decent_id_gets_a_new_one(
    client: Client, path: str, given: str | None
) -> None:
    headers = {} if given is None else {b"x-request-id": given.encode()}
    ids = [(await client.get(path, headers=headers)).headers["x-request-id"] for _ in range(2)]

    assert all(re.fullmatch("[0-9a-f]{32}", identifier) for identifier in ids)
    assert ids[0] != ids[1]


async def test_answers_of_calls_carry_the_id_too(client: Client) -> None:
    response = await client.post(
        "/encode",
        json={"model": "plane", "inputs": INPUTS},
        headers={"x-request-id": "mine"},
    )

    assert response.status_code == 200
    assert response.headers["x-request-id"] == "mine"


async def test_every_request_is_one_line_without_its_payload(
    tiny_models_dir: Path, lines: Lines
) -> None:
    async with open_client(tiny_models_dir, access_log=True, log_level="info") as client:
        lines.records.clear()
        await client.call("encode", model="plane", inputs=[[31337.5, 1, 2, 3]])
        await client.call("encode", model="plane", inputs=[[31337.5]])
        await client.get("/encode?marker=31337.5")
        await client.get("/healthz")
        await client.get("/nowhere")

    assert lines.requests() == [
        {"method": "POST", "path": "/encode", "status": 200, "model": "plane", "rows": 1},
        {"method": "POST", "path": "/encode", "status": 422, "problem": "invalid-input"},
        {"method": "GET", "path": "/encode", "status": 405, "problem": "method-not-allowed"},
        {"method": "GET", "path": "/healthz", "status": 200},
        {"method": "GET", "path": "/nowhere", "status": 404, "problem": "not-found"},
    ]
    assert not [record for record in lines.records if "31337" in str(record.__dict__)]


async def test_the_log_can_leave_requests_out(tiny_models_dir: Path, lines: Lines) -> None:
    async with open_client(tiny_models_dir, access_log=False, log_level="info") as client:
        await client.get("/healthz")
        await client.call("encode", model="plane", inputs=INPUTS)

    assert lines.requests() == []


async def test_lines_are_json_with_the_id_of_their_request(
    tiny_models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_client(tiny_models_dir, access_log=True, log_level="info") as client:
        await client.get("/healthz", headers={"x-request-id": "mine"})

    (line,) = (
        line
        for line in map(json.loads, capsys.readouterr().err.splitlines())
        if line["logger"] == "service.access" and line["request_id"] == "mine"
    )
    assert (line["event"], line["level"], line["path"]) == ("request", "info", "/healthz")
    assert line["duration_ms"] >= 0


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_a_failure_is_logged_without_the_payload_in_its_frames(
    tiny_models_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    log_format: str,
) -> None:
    def fail(*_: object) -> bytes:
        rows = "31337.5"
        raise ZeroDivisionError(len(rows))

    monkeypatch.setattr("service.api.dialects.native.dialect.write_response", fail)
    async with open_client(tiny_models_dir, log_format=log_format) as client:
        response = await client.call("encode", model="plane", inputs=[[31337.5, 1, 2, 3]])

    assert expect_problem(response, 500, "internal-error")["detail"] == "The service failed"
    logged = capsys.readouterr().err
    assert "ZeroDivisionError" in logged
    assert "31337" not in logged


async def test_a_failing_route_is_a_problem_with_a_constant_text(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.routes.health.onnxruntime_version", lambda: 1 / 0)

    response = await client.get("/version")

    assert expect_problem(response, 500, "internal-error")["detail"] == "The service failed"


async def test_an_application_that_fails_before_it_answers_is_answered_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        raise ZeroDivisionError

    client = Client(RecordMiddleware(fail, nothing_counted(), access_log=False))

    expect_problem(await client.get("/anything"), 500, "internal-error")
    assert "request failed" in caplog.text


async def test_an_application_that_fails_while_it_answers_is_only_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    sent: list[str] = []

    async def send(message: Scope) -> None:
        sent.append(message["type"])

    async def receive() -> Scope:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await RecordMiddleware(fail, nothing_counted(), access_log=False)(scope, receive, send)

    assert sent == ["http.response.start"]
    assert "request failed" in caplog.text
