"""The OpenAPI document describes the six calls, which no route of the framework answers."""

import json
import re
from typing import Any

import pytest
import pytest_asyncio

from service import __version__
from service.api.dialects.native.calls import CALLS
from service.api.media_types import FORM
from service.api.problems import PROBLEMS
from tests.api.clients import JPEG, JSON, NPY, PNG, RAW, SHARED_LOOP, Client

pytestmark = SHARED_LOOP

PROBLEM = "application/problem+json"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(client: Client) -> dict[str, Any]:
    return (await client.get("/openapi.json")).json()


async def test_the_document_names_the_service(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "latentserve"
    assert document["info"]["version"] == __version__


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))

    assert names <= set(document["components"]["schemas"])
    assert {"InputsRequest", "SampleResponse", "ProblemDocument", "FieldErrorDocument"} <= names


@pytest.mark.parametrize(
    ("path", "read", "written"),
    [
        ("/encode", [JSON, NPY, RAW, PNG, JPEG, FORM], [JSON, NPY, RAW]),
        ("/decode", [JSON, NPY, RAW, FORM], [JSON, NPY, RAW, PNG, JPEG]),
        ("/reconstruct", [JSON, NPY, RAW, PNG, JPEG, FORM], [JSON, NPY, RAW, PNG, JPEG]),
        ("/denoise", [JSON, NPY, RAW, PNG, JPEG, FORM], [JSON, NPY, RAW, PNG, JPEG]),
        ("/anomaly-score", [JSON, NPY, RAW, PNG, JPEG, FORM], [JSON, NPY, RAW]),
        ("/sample", [JSON], [JSON, NPY, RAW, PNG, JPEG]),
    ],
)
async def test_a_call_names_the_media_types_it_reads_and_writes(
    document: dict[str, Any], path: str, read: list[str], written: list[str]
) -> None:
    operation = document["paths"][path]["post"]

    assert list(operation["requestBody"]["content"]) == sorted(read, key=RAW.__eq__)
    assert list(operation["responses"]["200"]["content"]) == written
    assert operation["requestBody"]["required"] is (path != "/sample")


@pytest.mark.parametrize("path", CALLS)
async def test_a_call_names_every_status_of_the_table(document: dict[str, Any], path: str) -> None:
    responses = document["paths"][path]["post"]["responses"]

    assert set(map(int, responses)) == {200, 405} | {item.status for item in PROBLEMS.values()}
    for status, response in responses.items():
        assert (list(response["content"]) == [PROBLEM]) is (status != "200")


@pytest.mark.parametrize("path", CALLS)
async def test_every_option_of_a_call_is_a_parameter_too(
    document: dict[str, Any], path: str
) -> None:
    parameters = document["paths"][path]["post"]["parameters"]

    assert [item["name"] for item in parameters] == list(CALLS[path].fields.model_fields)
    assert {item["in"] for item in parameters} == {"query"}
    schemas = {item["name"]: item["schema"] for item in parameters}
    in_json = [name for name, schema in schemas.items() if "contentMediaType" in schema]
    assert in_json == ["conditions"]
    assert not any("default" in schema for schema in schemas.values())


async def test_errors_of_models_are_problems(document: dict[str, Any]) -> None:
    for path in ("/models/{name}", "/models/{name}/report"):
        responses = document["paths"][path]["get"]["responses"]
        for status in ("404", "422", "503"):
            assert list(responses[status]["content"]) == [PROBLEM]


async def test_the_documentation_page_loads_nothing_from_other_hosts(client: Client) -> None:
    page = await client.get("/docs")

    assert page.status_code == 200
    links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert link.startswith("/"), link
        assert (await client.get(link)).status_code == 200
    assert "//cdn" not in page.text
