"""Examples in the OpenAPI document: requests that the models which are loaded now answer."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from service.api.authentication import Authenticator, may_use
from service.api.dialects.native.calls import CALLS, Call
from service.api.dialects.native.examples import (
    MAX_EXAMPLE_VALUES,
    example_body,
    example_size,
    models_serving,
)
from service.api.media_types import JSON
from service.bundle.manifest import REPORT_FILE
from service.catalog.catalog import Catalog
from service.catalog.loading import LoadedModel

_MAX_EXAMPLES = 5  # of a call
_MAX_COMPARED = 50  # models that the examples are chosen from
_NOT_SERVED = "No model that is loaded serves this call."

Paths = Mapping[str, Mapping[str, Any]]


def with_examples(paths: Paths, catalog: Catalog, authenticator: Authenticator) -> dict[str, Any]:
    """Add to the paths of a document what can be sent to them as it stands.

    The document is read without a key: it has examples of those models alone that such a request
    may use.

    Args:
        paths: By path and method; they are not changed.
        catalog: The models.
        authenticator: Decides who may use which model.
    """
    described = dict(paths)
    served: dict[str, LoadedModel] = {}
    for path, call in CALLS.items():
        serving = list(islice(models_serving(call, catalog), _MAX_COMPARED))
        models = [
            model
            for model in serving
            if may_use(authenticator, {}, call.operation.name, model.name)
        ]
        served |= {model.name: model for model in models}
        operation = paths[path]["post"]
        if models:
            examples = _examples(call, models, catalog.default_model)
            described[path] = {"post": _with_body_examples(operation, examples)}
        elif not serving:
            described[path] = {"post": {**operation, "description": _NOT_SERVED}}
    for path, methods in paths.items():
        if "{name}" in path and (names := _names(path, served)):
            described[path] = {"get": _with_path_example(methods["get"], names[0])}
    return described


def _examples(call: Call, models: list[LoadedModel], default: str | None) -> dict[str, Any]:
    """Choose examples by model: the default one first, then those with the smallest rows.

    There is one for each call that a model serves, however large its rows are.
    """
    ordered = sorted(
        models, key=lambda model: (model.name != default, example_size(call, model), model.name)
    )
    small = (model for model in ordered[1:] if example_size(call, model) <= MAX_EXAMPLE_VALUES)
    return {
        model.name: {"summary": _summary(call, model), "value": example_body(call, model)}
        for model in (*ordered[:1], *islice(small, _MAX_EXAMPLES - 1))
    }


def _summary(call: Call, model: LoadedModel) -> str:
    if call.rows_field is None:
        return model.name
    spec = model.manifest.code if call.rows_field == "codes" else model.manifest.input
    shape = " x ".join(map(str, spec.shape))
    return f"{model.name}: {call.rows_field} of {shape}, flat"


def _with_body_examples(operation: Mapping[str, Any], examples: Mapping[str, Any]) -> Any:
    body = operation["requestBody"]
    in_json = {**body["content"][JSON], "examples": examples}
    return {
        **operation,
        "requestBody": {**body, "content": {**body["content"], JSON: in_json}},
    }


def _names(path: str, models: Mapping[str, LoadedModel]) -> list[str]:
    """Name the models that a path of models answers for."""
    return [
        name
        for name, model in models.items()
        if not path.endswith("/report") or REPORT_FILE in model.manifest.files
    ]


def _with_path_example(operation: Mapping[str, Any], name: str) -> Any:
    def parameters() -> Iterator[dict[str, Any]]:
        for parameter in operation["parameters"]:
            yield {**parameter, "example": name} if parameter["in"] == "path" else parameter

    return {**operation, "parameters": list(parameters())}
