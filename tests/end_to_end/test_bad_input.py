"""Whatever a client sends, it is told what is wrong in one sentence, and the service goes on."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.api.clients import expect_problem
from tests.bundles import PLANE
from tests.end_to_end.bad_input import BODY_LIMIT, CASES, Case
from tests.end_to_end.servers import Server, serving


@pytest.fixture(scope="module")
def server(tiny_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(tiny_models_dir, log, "--max-body-bytes", str(BODY_LIMIT)) as server:
        yield server


def send(http: httpx.Client, case: Case) -> httpx.Response:
    return http.post(
        f"/{case.call}?{case.query}",
        content=case.body(),
        headers={"content-type": case.content_type, **case.headers},
    )


def expect_that_it_still_answers(http: httpx.Client) -> None:
    rows = PLANE.rows(2)
    answer = http.post("/encode", json={"model": "plane", "inputs": rows.tolist()}).json()
    np.testing.assert_allclose(answer["codes"], PLANE.encode(rows), atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_is_told_what_is_wrong(http: httpx.Client, case: Case) -> None:
    response = send(http, case)

    if case.detail is None:
        assert case.codes is not None
        assert response.status_code == case.status == 200, response.text
        codes = response.json()["codes"]
        np.testing.assert_allclose(codes, case.codes, rtol=1e-5, atol=1e-5)
    else:
        slug = response.json()["type"].removeprefix("/errors#")
        assert expect_problem(response, case.status, slug)["detail"] == case.detail
    expect_that_it_still_answers(http)


def test_none_of_it_is_a_fault_of_the_service(server: Server) -> None:
    """The last word of the log, after all of the above."""
    # A server that has just begun says 503 to whoever asks whether it is ready.
    lines = [line for line in server.lines() if line.get("path") != "/readyz"]
    statuses = {line["status"] for line in lines if line["logger"] == "service.access"}

    assert statuses <= {200, 400, 404, 406, 409, 413, 415, 422}
    assert [line for line in lines if line["level"] != "info"] == []
