"""Requests made up from the OpenAPI document: none fails the service, every answer is in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode, SerializationContext
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.bundles import PLANE, STAMP
from tests.end_to_end.servers import START_SECONDS, serving

CALLS = ("encode", "decode", "reconstruct", "denoise", "anomaly-score", "sample")
READ = (
    *("/models", "/models/{name}", "/models/{name}/report"),
    *("/healthz", "/readyz", "/version", "/metrics", "/errors"),
)
OPERATIONS = [*(("post", f"/{call}") for call in CALLS), *(("get", path) for path in READ)]
ROWS = {"inputs": STAMP.rows(2).tolist()}
ANSWERED = [
    ("encode", ROWS | {"ids": ["a", 2]}),
    ("decode", {"codes": [[0.5, -0.5]], "ids": [2**64 - 1]}),
    ("reconstruct", ROWS),
    ("denoise", ROWS),
    ("anomaly-score", ROWS | {"false_positive_rate": 0.001}),
    ("sample", {"count": 2, "ids": ["a", "b"]}),
]
SLOW_TO_MAKE_UP = (HealthCheck.too_slow, HealthCheck.filter_too_much)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@schemathesis.serializer("application/x-npy", "image/png", "image/jpeg")
def as_they_are(_: SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@pytest.fixture(scope="module")
def document(
    tiny_models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BaseSchema]:
    """The document of a service whose default model takes what is easily made up: four numbers."""
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(tiny_models_dir, log, "--no-access-log", DEFAULT_MODEL=PLANE.name) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.slow
def test_every_operation_of_the_document_is_tested(document: BaseSchema) -> None:
    paths = document.raw_schema["paths"]

    assert [(method, path) for path, methods in paths.items() for method in methods] == OPERATIONS


@pytest.mark.parametrize(
    ("call", "body", "accept"),
    [
        (call, body, accept)
        for call, body in ANSWERED
        for accept in ("application/json", "application/x-npy", "image/png")
        if accept != "image/png" or call not in ("encode", "anomaly-score")
    ],
)
def test_every_answer_that_succeeds_is_in_the_document(
    document: BaseSchema, call: str, body: dict[str, Any], accept: str
) -> None:
    operation = document[f"/{call}"]["post"]

    case = operation.Case(
        body={"model": STAMP.name} | body, media_type="application/json", headers={"accept": accept}
    )
    response = case.call_and_validate(checks=CHECKS, timeout=START_SECONDS)

    assert response.status_code == 200
    assert response.headers["content-type"] == [accept]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        (method, path, mode)
        for method, path in OPERATIONS
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or method == "post" or "{name}" in path
    ],
)
def test_every_answer_is_in_the_document(
    document: BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    operation = document[path][method]

    @settings(max_examples=12, suppress_health_check=SLOW_TO_MAKE_UP)
    @given(case=operation.as_strategy(generation_mode=mode))
    def answered_as_documented(case: Case) -> None:
        case.call_and_validate(checks=CHECKS, timeout=START_SECONDS)

    answered_as_documented()
