"""What the OpenAPI document offers works as it stands, whatever models are loaded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.errors import RequestError
from service.request_context import ANONYMOUS, Principal
from tests.api.clients import Client, open_client
from tests.bundles import LABELLED, STAMP, TINY_MODELS, publish_tiny, tiny_model

PHOTO = tiny_model("photo", "image", (40, 40, 3))


def as_offered(document: Mapping[str, Any]) -> list[tuple[str, str, dict[str, str], list[Any]]]:
    """List method, path, query and bodies of each operation, as a page fills in its forms.

    A parameter is sent if it has an example or a default, a body for each example; a page makes up
    a body that has none.
    """
    offered: list[tuple[str, str, dict[str, str], list[Any]]] = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            values: dict[str, dict[str, str]] = {"query": {}, "path": {}, "header": {}}
            for parameter in operation.get("parameters", []):
                filled = parameter.get("example", parameter["schema"].get("default"))
                if filled is not None:
                    values[parameter["in"]][parameter["name"]] = filled
            if "{" in path and not values["path"]:
                continue  # a page asks for it
            content = operation.get("requestBody", {}).get("content", {})
            examples = content.get("application/json", {}).get("examples", {}).values()
            bodies = [example["value"] for example in examples] or [None]
            offered.append((method, path.format_map(values["path"]), values["query"], bodies))
    return offered


async def execute(client: Client) -> dict[str, list[httpx.Response]]:
    """Send every operation of the document as it is offered."""
    document = (await client.get("/openapi.json")).json()
    answers: dict[str, list[httpx.Response]] = {}
    for method, path, query, bodies in as_offered(document):
        answers[path] = [
            await client.request(method, path, params=query, json=body) for body in bodies
        ]
    return answers


@pytest.mark.parametrize("default_model", [None, STAMP.name])
async def test_everything_works_as_it_is_offered(
    tiny_models_dir: Path, default_model: str | None
) -> None:
    async with open_client(tiny_models_dir, default_model=default_model) as client:
        answers = await execute(client)

    assert len(answers) == 14
    for path, responses in answers.items():
        assert {response.status_code for response in responses} == {200}, path
    assert len(answers["/encode"]) == 5  # of six models
    assert len(answers["/denoise"]) == 1
    named = [response.json()["model"] for response in answers["/encode"]]
    assert len(set(named)) == 5
    if default_model:
        assert named[0] == default_model


async def test_a_body_of_a_conditional_model_has_conditions(tmp_path: Path) -> None:
    publish_tiny(tmp_path, LABELLED)
    async with open_client(tmp_path) as client:
        answers = await execute(client)
        document = (await client.get("/openapi.json")).json()

    (refused,) = answers.pop("/denoise")
    assert refused.status_code == 400  # without a body; with one, 409
    description = document["paths"]["/denoise"]["post"]["description"]
    assert description == "No model that is loaded serves this call."
    for path in ("/encode", "/decode", "/sample", "/anomaly-score", "/reconstruct"):
        assert [response.status_code for response in answers[path]] == [200]


async def test_a_call_has_an_example_however_large_the_rows_of_its_only_model_are(
    tmp_path: Path,
) -> None:
    publish_tiny(tmp_path, PHOTO)
    async with open_client(tmp_path) as client:
        large = await execute(client)
    for model in TINY_MODELS:
        publish_tiny(tmp_path, model)
    async with open_client(tmp_path) as client:
        document = (await client.get("/openapi.json")).json()

    assert [answer.status_code for answer in large["/encode"]] == [200]
    body = document["paths"]["/encode"]["post"]["requestBody"]["content"]["application/json"]
    assert PHOTO.name not in body["examples"]
    assert len(json.dumps(document)) < 100_000


async def test_the_document_follows_the_models(tmp_path: Path) -> None:
    async with open_client(tmp_path) as client:
        before = (await client.get("/openapi.json")).json()
    publish_tiny(tmp_path, STAMP)
    async with open_client(tmp_path) as client:
        after = (await client.get("/openapi.json")).json()

    assert before.keys() == after.keys()
    assert before["components"] == after["components"]
    assert "stamp" not in json.dumps(before)
    assert "stamp" in json.dumps(after["paths"]["/encode"])


class OnlyStamp:
    """Everyone may use ``stamp``, and only those with a key anything else."""

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        return Principal("known") if b"x-key" in headers else ANONYMOUS

    def authorize(self, principal: Principal, operation: str, model: str) -> None:
        if principal is ANONYMOUS and (model, operation) != ("stamp", "denoise"):
            raise RequestError(f"{model} is not for everyone")


async def test_examples_are_of_models_that_the_reader_may_use(tmp_path: Path) -> None:
    kept = tiny_model("kept")
    for model in (kept, STAMP):
        publish_tiny(tmp_path, model)
    async with open_client(tmp_path, authenticator=OnlyStamp()) as client:
        document = (await client.get("/openapi.json")).json()
        path = await client.post("/encode/")
        known = await client.post("/encode/", headers={"x-key": "1"})
        method = await client.get("/encode")
        field = await client.post("/denoise", json={"data": 1})

    assert "kept" not in json.dumps(document)
    assert "stamp" in json.dumps(document["paths"]["/denoise"])
    assert "examples" not in json.dumps(document["paths"]["/encode"])
    assert "example" not in path.json()
    assert known.json()["example"]["model"] == "kept"
    assert "example" not in method.json()
    assert field.json()["example"]["model"] == "stamp"
