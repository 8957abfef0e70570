"""A path that is not there is told which was probably meant."""

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.nearest_path import remedy_for_path
from tests.api.clients import SHARED_LOOP, Client, expect_problem

METHODS = {
    **dict.fromkeys(("/encode", "/decode", "/sample", "/anomaly-score"), "POST"),
    **dict.fromkeys(("/models", "/models/{name}", "/models/{name}/report", "/healthz"), "GET"),
    **dict.fromkeys(("/readyz", "/metrics", "/version", "/docs", "/openapi.json"), "GET"),
}
EVERY_CALL = (
    "the calls are POST /encode, /decode, /reconstruct, /denoise, /anomaly-score or /sample"
)
CALLS = ["/encode", "/decode", "/sample", "/anomaly-score"]


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/anomaly-score/", "POST /anomaly-score"),
        ("/anomaly_score", "POST /anomaly-score"),
        ("/AnomalyScore", "POST /anomaly-score"),
        ("/anomly-score", "POST /anomaly-score"),
        ("/score", "POST /anomaly-score"),
        ("/Encode", "POST /encode"),
        ("/encode/", "POST /encode"),
        ("//encode", "POST /encode"),
        ("/v1/encode", "POST /encode"),
        ("/api/v2/encode", "POST /encode"),
        ("/encoding", "POST /encode"),
        ("/embeddings", "POST /encode"),
        ("/encode/extra", "POST /encode"),
        ("/decoed", "POST /decode"),
        ("/generate", "POST /sample"),
        ("/health", "GET /healthz"),
        ("/healthz/", "GET /healthz"),
        ("/ping", "GET /healthz"),
        ("/v2/health/live", "GET /healthz"),
        ("/v2/health/ready", "GET /readyz"),
        ("/metric", "GET /metrics"),
        ("/swagger", "GET /docs"),
        ("/redoc", "GET /docs"),
        ("/", "GET /docs"),
        ("/api/openapi.json", "GET /openapi.json"),
        ("/v2", "GET /version"),
        ("/models/", "GET /models"),
        ("/v1/models", "GET /models"),
        ("/v2/models/x", "GET /models/{name}"),
        ("/models/x/versions/3", "GET /models/{name}"),
        ("/v1/models/x/report", "GET /models/{name}/report"),
    ],
)
def test_the_nearest_path_is_named(path: str, meant: str) -> None:
    sentence, found = remedy_for_path(path, METHODS, CALLS)

    assert sentence == f"{meant} was probably meant"
    assert found == meant.partition(" ")[2]


def test_a_model_in_the_path_of_a_call_goes_into_a_field() -> None:
    for path in ("/models/x/encode", "/v2/models/x/versions/1/encode", "/v1/models/x:encode"):
        assert remedy_for_path(path, METHODS, CALLS) == (
            "POST /encode was probably meant; the model's name goes into the field model",
            "/encode",
        )


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/api/predict/", "/predictions"])
def test_a_path_for_any_call_is_told_all_of_them(path: str) -> None:
    assert remedy_for_path(path, METHODS, CALLS) == (
        "the calls are POST /encode, /decode, /sample or /anomaly-score",
        "",
    )
    for other in ("/v2/models/x/infer", "/v1/models/x:predict"):
        sentence, _ = remedy_for_path(other, METHODS, CALLS)
        assert sentence.endswith("; the model's name goes into the field model")


@given(path=st.text(max_size=300))
def test_no_path_is_repeated(path: str) -> None:
    sentence, meant = remedy_for_path(f"/{path}31337", METHODS, CALLS)

    assert "31337" not in sentence
    assert meant in ("", *METHODS)
    assert 8 <= len(sentence) < 200


@SHARED_LOOP
@pytest.mark.parametrize(
    ("method", "path", "detail"),
    [
        ("POST", "/anomaly-score/", "POST /anomaly-score was probably meant"),
        ("GET", "/health", "GET /healthz was probably meant"),
        ("GET", "/models/", "GET /models was probably meant"),
        ("GET", "/models/plane/versions/1", "GET /models/{name} was probably meant"),
        (
            "POST",
            "/predict",
            EVERY_CALL,
        ),
        (
            "GET",
            "/robots.txt",
            f"{EVERY_CALL}; GET /docs describes every path",
        ),
    ],
)
async def test_the_application_names_its_own_paths(
    client: Client, method: str, path: str, detail: str
) -> None:
    response = await client.request(method, path)

    assert expect_problem(response, 404, "not-found")["detail"] == detail


@SHARED_LOOP
async def test_the_example_of_a_call_that_was_meant_works(client: Client) -> None:
    document = expect_problem(await client.post("/anomaly_score"), 404, "not-found")

    assert (await client.call("anomaly-score", **document["example"])).status_code == 200


@SHARED_LOOP
async def test_a_method_that_is_not_taken_is_told_the_one_that_is(client: Client) -> None:
    response = await client.delete("/models/plane")

    document = expect_problem(response, 405, "method-not-allowed")
    assert document["detail"] == "/models/{name} takes GET, HEAD"


@SHARED_LOOP
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(path=st.text(st.characters(codec="utf-8", exclude_characters="?#"), max_size=40))
async def test_whatever_path_is_asked_for_the_service_does_not_fail(
    client: Client, path: str
) -> None:
    response = await client.post(f"/{quote(path)}31337")

    assert "31337" not in expect_problem(response, 404, "not-found")["detail"]
