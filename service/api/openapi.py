"""The OpenAPI entries of the six calls, which no route of the framework answers."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from service.api.dialects.native.calls import CALLS, Call
from service.api.dialects.native.requests import JSON_TEXTS
from service.api.media_types import JSON, NPY, PICTURES, RAW
from service.api.problems import PROBLEM_RESPONSE, PROBLEMS
from service.api.schemas import ProblemDocument

_REFERENCE = "#/components/schemas/{model}"
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_STATUSES = sorted({problem.status for problem in PROBLEMS.values()} | {405})


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the whole document: the framework's routes and the six calls."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        models = {model for call in CALLS.values() for model in (call.request, call.response)}
        ordered = sorted({*models, ProblemDocument}, key=lambda model: model.__name__)
        _, definitions = models_json_schema(
            [(model, "validation") for model in ordered], ref_template=_REFERENCE
        )
        document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
        document["paths"] = {
            **{path: {"post": _operation(call)} for path, call in CALLS.items()},
            **document["paths"],
        }
        app.openapi_schema = document
    return app.openapi_schema


def _operation(call: Call) -> dict[str, Any]:
    reference: dict[str, Any] = {"schema": {"$ref": _REFERENCE.format(model=call.request.__name__)}}
    bodies = {JSON: reference}
    if call.rows_field:
        bodies |= dict.fromkeys((NPY, RAW), _BINARY)
    if call.rows_field == "inputs":
        bodies |= dict.fromkeys(PICTURES, _BINARY)
    return {
        "tags": ["calls"],
        "summary": call.summary,
        "operationId": call.operation.name,
        "parameters": _query_parameters(call),
        "requestBody": {"required": call.rows_field is not None, "content": bodies},
        "responses": {
            "200": _answer(call),
            **{str(status): PROBLEM_RESPONSE for status in _STATUSES},
        },
    }


def _query_parameters(call: Call) -> list[dict[str, Any]]:
    schema = call.fields.model_json_schema(ref_template=_REFERENCE)
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"The body's field {name}, for bodies that have no fields.",
            **_described(name, {key: field[key] for key in field if key != "description"}),
        }
        for name, field in schema["properties"].items()
    ]


def _described(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {JSON: {"schema": schema}}} if name in JSON_TEXTS else {"schema": schema}


def _answer(call: Call) -> dict[str, Any]:
    content: dict[str, Any] = {
        JSON: {"schema": {"$ref": _REFERENCE.format(model=call.response.__name__)}},
        NPY: _BINARY,
        RAW: _BINARY,
    }
    if call.returns_rows:
        content |= dict.fromkeys(PICTURES, _BINARY)
    headers = {
        name: {"schema": {"type": "string"}, "description": description}
        for name, description in (
            ("X-Request-Id", "Of the request, or a new one."),
            ("Server-Timing", "Milliseconds spent on read, queue, inference, write."),
            ("X-Model", "Who answered."),
            ("X-Model-Version", "In which version."),
            ("X-Shape", f"Of {RAW}: the lengths of the array's axes, with commas."),
        )
    }
    return {"description": call.summary, "content": content, "headers": headers}
