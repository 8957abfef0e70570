"""Pages of other origins: what they may read, and that they drive nothing without a setting."""

import pytest

from service.api.policy.cross_origin import CrossOrigin
from service.errors import ConfigurationError, CrossSiteRequest

OWN = {b"host": b"localhost:8000"}
PAGE = "https://app.example.org"


def refuses(origins: tuple[str, ...], method: str, **headers: str) -> bool:
    written = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    try:
        CrossOrigin(origins).check(method, {**OWN, **written}, None)
    except CrossSiteRequest:
        return True
    return False


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": PAGE},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://localhost"},
        {"origin": "http://localhost:8000.attacker.example"},
        {"origin": "file://"},
        {"origin": ""},
        {"origin": "localhost:8000"},
        {"origin": PAGE, "sec_fetch_site": "cross-site"},
        {"origin": PAGE, "sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "nonsense"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
    ],
)
def test_a_call_from_another_page_is_refused(headers: dict[str, str]) -> None:
    assert refuses((), "POST", **headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:8000"},
        {"origin": "https://LOCALHOST:8000"},
        {"origin": "http://localhost:8000", "sec_fetch_site": "same-origin"},
        {"origin": "https://public.example", "sec_fetch_site": "same-origin"},
        {"origin": "null", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"origin": "http://localhost:80", "host": "localhost"},
        {"origin": "https://a.example", "host": "a.example:443"},
        {"origin": "https://a.example", "host": "A.example"},
    ],
)
def test_a_call_from_the_services_own_page_is_taken(headers: dict[str, str]) -> None:
    assert not refuses((), "POST", **headers)


def test_links_lead_here_and_nothing_else_of_another_page() -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}

    assert not refuses((), "GET", **link)
    assert not refuses((), "HEAD", **link)
    assert not refuses((), "GET", sec_fetch_site="same-site")
    assert refuses((), "GET", sec_fetch_site="cross-site", sec_fetch_mode="no-cors")
    assert refuses((), "GET", origin=PAGE)
    assert refuses((), "DELETE", **link)


def test_the_host_that_a_proxy_was_asked_for_is_the_services_own() -> None:
    headers = {b"host": b"backend:8000", b"origin": b"https://models.example.org"}

    CrossOrigin(()).check("POST", headers, b"models.example.org")
    with pytest.raises(CrossSiteRequest):
        CrossOrigin(()).check("POST", headers, b"other.example.org")


@pytest.mark.parametrize("origin", [PAGE, "null", "http://localhost:3000"])
def test_every_page_may_call_where_all_are_allowed(origin: str) -> None:
    assert not refuses(("*",), "POST", origin=origin, sec_fetch_site="cross-site")
    assert CrossOrigin(("*",)).response_headers(origin.encode())[0] == (
        b"access-control-allow-origin",
        b"*",
    )


@pytest.mark.parametrize(
    ("setting", "origin", "allowed"),
    [
        (PAGE, PAGE, True),
        (PAGE.upper() + "/", PAGE, True),
        (PAGE + ":443", PAGE, True),
        ("http://localhost:3000", "http://localhost:3000", True),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", True),
        (PAGE, "http://app.example.org", False),
        (PAGE, PAGE + ":8443", False),
        (PAGE, "https://evil.app.example.org", False),
        (PAGE, PAGE + ".evil.example", False),
    ],
)
def test_an_origin_is_allowed_as_a_whole(setting: str, origin: str, allowed: bool) -> None:
    policy = CrossOrigin((setting,))

    assert refuses((setting,), "POST", origin=origin) is not allowed
    headers = dict(policy.response_headers(origin.encode()))
    assert headers[b"vary"] == b"Origin"
    assert headers.get(b"access-control-allow-origin") == (origin.encode() if allowed else None)
    assert policy.response_headers(None) == [(b"vary", b"Origin")]


def test_nothing_is_added_without_the_setting() -> None:
    assert CrossOrigin(()).response_headers(PAGE.encode()) == []
    asked = {b"origin": PAGE.encode(), b"access-control-request-method": b"POST"}
    assert CrossOrigin(()).preflight_headers(asked, "POST") == []


def test_a_preflight_is_told_what_may_be_sent() -> None:
    asked = {
        b"origin": PAGE.encode(),
        b"access-control-request-method": b"POST",
        b"access-control-request-headers": b"content-type,x-key",
        b"access-control-request-private-network": b"true",
    }

    assert CrossOrigin((PAGE,)).preflight_headers(asked, "POST") == [
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", b"content-type,x-key"),
        (b"access-control-max-age", b"3600"),
        (b"access-control-allow-private-network", b"true"),
    ]
    asked[b"access-control-request-headers"] = b"a\r\nset-cookie: b"
    told = dict(CrossOrigin((PAGE,)).preflight_headers(asked, "POST"))
    assert b"Content-Type" in told[b"access-control-allow-headers"]
    assert b"\r" not in told[b"access-control-allow-headers"]
    assert CrossOrigin(("http://other.example",)).preflight_headers(asked, "POST") == []


@pytest.mark.parametrize(
    "origin",
    ["app.example.org", "https://a.example/path", "null", "https://*.a.example", "//a"],
)
def test_what_is_not_an_origin_is_refused_at_start(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cors_origins: .* is not an origin"):
        CrossOrigin((origin,))
