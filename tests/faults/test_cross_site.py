"""Web pages of others against a service on a person's machine: nothing is read, nothing driven."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.bundles import PLANE, publish_tiny
from tests.end_to_end.servers import Server, serving

BODY = json.dumps({"inputs": PLANE.rows(1).tolist()})
PAGE = "https://attacker.example"
ALLOWED = "http://localhost:3000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program as a developer starts it: on loopback, with one setting."""
    folder = tmp_path_factory.mktemp("cross-site")
    publish_tiny(folder / "models", PLANE)
    with serving(folder / "models", folder / "log", "--cors-origins", ALLOWED) as server:
        yield server


def send(server: Server, method: str, path: str, body: str = "", **headers: str) -> httpx.Response:
    written = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, server.url + path, content=body, headers=written)


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/models", "/metrics", "/docs", "/nowhere"]
)
def test_a_page_that_rebinds_its_name_reads_nothing(server: Server, path: str) -> None:
    port = server.port
    response = send(server, "GET", path, host=f"attacker.example:{port}")

    assert response.status_code == 421
    assert response.json()["type"] == "/errors#host-not-allowed"


def test_a_page_that_rebinds_its_name_drives_nothing(server: Server) -> None:
    """Its own origin is then the same as the host."""
    port = server.port
    rebound = {"host": f"attacker.example:{port}", "origin": f"http://attacker.example:{port}",
               "sec_fetch_site": "same-origin"}  # fmt: skip

    assert send(server, "POST", "/encode", BODY, **rebound).status_code == 421
    assert send(server, "POST", "/sample?count=10000", **rebound).status_code == 421


@pytest.mark.parametrize(
    ("path", "body", "content_type"),
    [
        ("/encode", BODY, "application/x-www-form-urlencoded"),
        ("/encode", BODY, "text/plain"),
        ("/encode", BODY, "multipart/form-data; boundary=x"),
        ("/encode", BODY, "application/json"),
        ("/sample?count=10000", "", ""),
    ],
)
@pytest.mark.parametrize("page", [
    {"origin": PAGE, "sec_fetch_site": "cross-site"},
    {"origin": PAGE},
    {"origin": "null"},
    {"origin": "null", "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
])  # fmt: skip
def test_no_form_or_script_of_a_page_drives_a_call(
    server: Server, page: dict[str, str], path: str, body: str, content_type: str
) -> None:
    response = send(server, "POST", path, body, content_type=content_type, **page)

    assert response.status_code == 403
    assert response.json()["type"] == "/errors#cross-site-request"
    assert "access-control-allow-origin" not in response.headers


def test_a_person_at_a_terminal_and_an_allowed_page_are_answered(server: Server) -> None:
    form = "application/x-www-form-urlencoded"
    for host in (f"localhost:{server.port}", f"127.0.0.1:{server.port}", f"[::1]:{server.port}"):
        assert send(server, "POST", "/encode", BODY, content_type=form, host=host).is_success
    own = f"http://127.0.0.1:{server.port}"
    assert send(server, "POST", "/encode", BODY, origin=own).is_success

    allowed = send(server, "POST", "/encode", BODY, origin=ALLOWED, sec_fetch_site="same-site")
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ALLOWED)


def test_a_public_address_answers_under_every_name_unless_told_otherwise(tmp_path: Path) -> None:
    publish_tiny(tmp_path / "models", PLANE)
    with serving(tmp_path / "models", tmp_path / "log", "--host", "0.0.0.0") as server:  # noqa: S104  # what is tested
        assert send(server, "GET", "/healthz", host="models.example").is_success
        assert send(server, "POST", "/encode", BODY, origin=PAGE).status_code == 403
    local = ("--allowed-hosts", "models.example")
    with serving(tmp_path / "models", tmp_path / "log", *local, wait=False) as server:
        assert send(server, "GET", "/healthz", host="models.example").is_success
        assert send(server, "GET", "/healthz", host="localhost").status_code == 421
