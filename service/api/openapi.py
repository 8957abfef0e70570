"""The OpenAPI entries of the inference calls, which are not routes of the framework."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.dialects.native.calls import CALLS, Call
from service.api.dialects.native.requests import JSON_TEXTS
from service.api.example_requests import with_examples
from service.api.media_types import FORM, JSON, readable_types, writable_types
from service.api.problems import PROBLEM_RESPONSE, PROBLEMS
from service.api.schemas import ProblemDocument
from service.formats.array_formats import ARRAY_FORMATS

_BARE_NUMBERS = "application/octet-stream"
_REFERENCE = "#/components/schemas/{model}"
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "properties": {"file": {"type": "array", "minItems": 1, "items": _BINARY["schema"]}},
        "required": ["file"],
    }
}
_STATUSES = sorted({problem.status for problem in PROBLEMS.values()} | {405})


_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")  # every error is a ProblemDocument


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the whole document: the framework's routes and the inference calls.

    Its examples are of the models that are loaded now.
    """
    document = _describe_paths(app)
    state = app.state
    paths = with_examples(document["paths"], state.reconciler.catalog, state.authenticator)
    return {**document, "paths": paths}


def _describe_paths(app: FastAPI) -> dict[str, Any]:
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
        for name in _UNUSED_SCHEMAS:
            document["components"]["schemas"].pop(name, None)
        for methods in document["paths"].values():
            for operation in methods.values():
                if "422" in operation["responses"]:  # the framework's own says HTTPValidationError
                    operation["responses"]["422"] = PROBLEM_RESPONSE
        document["paths"] = {
            **{path: {"post": _operation(call)} for path, call in CALLS.items()},
            **document["paths"],
        }
        app.openapi_schema = document
    return app.openapi_schema


def _operation(call: Call) -> dict[str, Any]:
    readable = readable_types(
        takes_rows=call.rows_field is not None, is_image=call.rows_field == "inputs"
    )
    return {
        "tags": ["calls"],
        "summary": call.summary,
        "operationId": call.operation.name,
        "parameters": _query_parameters(call),
        "requestBody": {
            "required": call.rows_field is not None,
            # Last the one that clients shall take for bytes of which they know no more.
            "content": _content(sorted(readable, key=_BARE_NUMBERS.__eq__), call.request),
        },
        "responses": {
            "200": _response(call),
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
            "schema": _parameter_schema(name, field),
        }
        for name, field in schema["properties"].items()
    ]


def _parameter_schema(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """Describe a field as a parameter that is left out unless someone fills it in.

    With a default, forms and generated clients would send it beside the body's field; an object
    would be made up by forms.
    """
    schema = {key: value for key, value in field.items() if key not in ("default", "description")}
    if name not in JSON_TEXTS:
        return schema
    title = schema.pop("title", name)
    return {
        "title": title, "type": "string", "contentMediaType": JSON, "contentSchema": schema,
    }  # fmt: skip


def _response(call: Call) -> dict[str, Any]:
    media_types = writable_types(is_image=call.returns_rows)
    descriptions = {
        "X-Request-Id": "The request's X-Request-Id, or a generated one.",
        "Server-Timing": "Milliseconds spent on read, queue, inference, write.",
        "X-Model": "Name of the model.",
        "X-Model-Version": "Version of the model.",
        "X-Warnings": "What JSON has as warnings, in other media types; sentences joined by `; `.",
    }
    for media_type, array_format in ARRAY_FORMATS.items():
        for header in array_format.headers:
            descriptions[header.name] = f"With {media_type}: {header.description}"
    return {
        "description": call.summary,
        "content": _content(media_types, call.response),
        "headers": {
            name: {"schema": {"type": "string"}, "description": description}
            for name, description in descriptions.items()
        },
    }


def _content(media_types: Sequence[str], model: type[BaseModel]) -> dict[str, Any]:
    reference = {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}
    schemas = {JSON: reference, FORM: _FORM}
    return {media_type: schemas.get(media_type, _BINARY) for media_type in media_types}
