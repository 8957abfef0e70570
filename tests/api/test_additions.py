"""A call and a dialect are added with the files that docs/architecture.md lists, and nothing else.

What a file of its own would hold stands here; what a table gets is put there for a test. Media
types have ``test_added_media_type.py``, layers, scores and data sources ``tests/training``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import service.app
from service.api.dialects.dialect import Body, Dialect, Head, ParsedRequest
from service.api.dialects.native.calls import CALLS, Call
from service.api.dialects.native.schemas import AnomalyScoreResponse, InputsRequest, RowFields
from service.api.problems import Headers, Problem
from service.arrays import FloatArray
from service.bundle.manifest import ENCODER, Manifest
from service.catalog.catalog import Catalog
from service.errors import FieldError, MalformedBody
from service.inference.autoencoder import Autoencoder
from service.operations import table
from service.operations.operation import Operation, Result, Work
from service.operations.table import ENCODE, OPERATIONS, require
from service.request_context import RequestContext
from service.settings import Settings
from tests.api.clients import Client, open_client
from tests.api.sockets import open_server, request
from tests.bundles import PLANE, STAMP

# service/operations/code_norm.py


@dataclass(frozen=True, slots=True)
class CodeNorms:
    """Lengths of codes, shape (rows,)."""

    norms: FloatArray

    def fields(self) -> Mapping[str, Any]:
        return {"norms": self.norms}


class CodeNorm:
    """How far from the origin codes are."""

    name: Literal["code-norm"] = "code-norm"
    takes: Literal["inputs"] = "inputs"

    def is_supported_by(self, manifest: Manifest) -> bool:
        return ENCODER in manifest.graphs and not manifest.code.variational

    async def run(self, autoencoder: Autoencoder, work: Work[None]) -> CodeNorms:
        codes, *_ = await autoencoder.run(ENCODER, work.rows, work.conditions, work.context)
        return CodeNorms(np.linalg.norm(codes.reshape(len(codes), -1), axis=1))


@pytest.fixture
def _with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the operation and its call into their tables."""
    operation = CodeNorm()
    call = Call(operation, RowFields, InputsRequest, AnomalyScoreResponse, "Measure codes", "norms")
    monkeypatch.setattr(table, "OPERATIONS", (*OPERATIONS, operation))
    monkeypatch.setitem(CALLS, call.path, call)


@pytest.mark.usefixtures("_with_the_call")
async def test_an_added_call_is_served_by_bundles_that_are_older(tiny_models_dir: Path) -> None:
    rows = PLANE.rows(3)
    expected = np.linalg.norm(PLANE.encode(rows), axis=1)
    async with open_client(tiny_models_dir) as client:
        answer = await client.answer("code-norm", model="plane", inputs=rows.tolist(), decimals=3)
        as_array = await client.rows("code-norm", rows, model="plane")
        refused = await client.call("code-norm", model="wave", inputs=[[[0.0]] * 5])
        document = (await client.get("/openapi.json")).json()

    np.testing.assert_allclose(answer["norms"], expected, atol=6e-4)
    np.testing.assert_allclose(as_array, expected, rtol=1e-5)
    assert refused.status_code == 409
    assert document["paths"]["/code-norm"]["post"]["summary"] == "Measure codes"


# service/api/dialects/lines/dialect.py


@dataclass(frozen=True)
class LinesEndpoint:
    """Encodes rows that come as lines of numbers."""

    model: str
    name: str = "encode"
    path: str = "/lines/{model}"

    def read_head(self, head: Head) -> str:
        return head.headers.get(b"content-type", b"text/plain").decode()

    def parse_request(
        self, head: Head, media_type: str, body: bytes, catalog: Catalog, context: RequestContext
    ) -> ParsedRequest:
        assert head.method == "POST"
        assert media_type == "text/plain"
        model = catalog.resolve(self.model, None)
        require(model.manifest, ENCODE)
        try:
            rows = np.array([line.split() for line in body.splitlines()], np.float32)
        except ValueError as error:
            raise MalformedBody("the lines are not numbers, as many in each") from error
        return ParsedRequest(model, ENCODE, Work(rows, None, None, context), len(rows))

    def negotiate(self, head: Head, request: ParsedRequest) -> str:
        assert head.headers is not None
        assert request.rows
        return "text/plain"

    def write_response(self, request: ParsedRequest, result: Result) -> tuple[Body, Headers]:
        codes = result.fields()["codes"]
        lines = [" ".join(f"{value:.4f}" for value in row) for row in codes]
        return "\n".join(lines).encode(), [(b"content-type", request.response_type.encode())]

    def find_example(self, catalog: Catalog, model: str | None) -> None:
        assert catalog.names
        assert model is None

    def write_problem(
        self,
        problem: Problem,
        detail: str,
        request_id: str,
        errors: tuple[FieldError, ...],
        example: Mapping[str, Any] | None,
    ) -> tuple[Body, bytes]:
        assert request_id
        assert errors == ()
        assert example is None
        return f"{problem.slug}: {detail}".encode(), b"text/plain"


class LinesDialect:
    """``/lines/<model>``."""

    def match(self, path: str) -> LinesEndpoint | None:
        prefix, _, model = path.rpartition("/")
        return LinesEndpoint(model) if prefix == "/lines" else None


@pytest.fixture
def _with_the_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the dialect into the list of them."""
    create_dialects = service.app.create_dialects

    def with_lines(settings: Settings) -> tuple[Dialect, ...]:
        return (*create_dialects(settings), LinesDialect())

    monkeypatch.setattr(service.app, "create_dialects", with_lines)


@pytest.mark.usefixtures("_with_the_dialect")
async def test_an_added_dialect_is_spoken_on_both_ways(tiny_models_dir: Path) -> None:
    rows = PLANE.rows(2)
    body = "\n".join(" ".join(map(str, row)) for row in rows.tolist()).encode()
    async with open_server(tiny_models_dir) as server, server.connect() as connection:
        await connection.send(request(body, "/lines/plane"))
        fast = await connection.receive()
        await connection.send(request(b"a b\nc", "/lines/plane"))
        malformed = await connection.receive()
        await connection.send(request(body, "/lines/nobody"))
        unknown = await connection.receive()
        async with Client(server.service.app) as client:
            over_asgi = await client.post("/lines/plane", content=body)
            native = await client.answer("encode", model="stamp", inputs=STAMP.rows(1).tolist())

    codes = np.array([line.split() for line in fast.body.decode().splitlines()], np.float64)
    np.testing.assert_allclose(codes, PLANE.encode(rows), atol=1e-4)
    assert over_asgi.content == fast.body
    assert (malformed.status, malformed.body.partition(b":")[0]) == (400, b"malformed-body")
    assert (unknown.status, unknown.body.partition(b":")[0]) == (404, b"model-not-found")
    assert unknown.values("content-type") == ["text/plain"]
    assert len(native["codes"]) == 1


def test_the_protocols_are_what_the_additions_implement() -> None:
    operation: Operation[None] = CodeNorm()
    dialect: Dialect = LinesDialect()

    assert operation.takes == "inputs"
    assert dialect.match("/lines/plane") == LinesEndpoint("plane")
    assert dialect.match("/encode") is None
