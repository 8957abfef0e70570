"""What proxies say is believed of trusted ones alone, from the right."""

from typing import Any

import pytest

from service.api.policy.trusted_proxies import TrustedProxies, read_prefix
from service.errors import ConfigurationError

PROXY = ("10.0.0.1", 4711)
STRANGER = ("198.51.100.7", 4711)
TRUSTED = TrustedProxies(("10.0.0.0/8", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        (PROXY, "203.0.113.9", "203.0.113.9"),
        (PROXY, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (PROXY, "1.1.1.1, 203.0.113.9, 10.9.9.9", "203.0.113.9"),
        (PROXY, "1.1.1.1,203.0.113.9 ,10.9.9.9 , 10.8.8.8", "203.0.113.9"),
        (PROXY, "10.1.1.1, 10.2.2.2", "10.1.1.1"),
        (PROXY, "203.0.113.9:5123", "203.0.113.9"),
        (PROXY, "2001:db8::1", "2001:db8::1"),
        (PROXY, "[2001:db8::1]:5123", "2001:db8::1"),
        (PROXY, "::ffff:203.0.113.9", "203.0.113.9"),
        (PROXY, "1.1.1.1, unknown", "10.0.0.1"),
        (PROXY, "1.1.1.1, nonsense, 10.9.9.9", "10.9.9.9"),
        (PROXY, "", "10.0.0.1"),
        (PROXY, "999.1.1.1", "10.0.0.1"),
        (PROXY, "fe80::1%eth0\n{}", "10.0.0.1"),
        (PROXY, "1.1.1.1, " + "10.1.1.1, " * 5000 + "10.2.2.2", "10.1.1.1"),
        (PROXY, None, "10.0.0.1"),
        (STRANGER, "203.0.113.9", "198.51.100.7"),
        (("::ffff:10.0.0.1", 4711, 0, 0), "203.0.113.9", "203.0.113.9"),
        (["fd00::1", 4711], "203.0.113.9", "203.0.113.9"),
        (None, "203.0.113.9", None),
        ("", "203.0.113.9", None),
        ("/run/proxy.sock", "203.0.113.9", None),
        (("testclient", 1), "203.0.113.9", None),
    ],
)
def test_the_client_is_the_nearest_that_is_not_a_proxy(
    peer: Any, forwarded_for: str | None, client: str | None
) -> None:
    headers = {} if forwarded_for is None else {b"x-forwarded-for": forwarded_for.encode()}

    assert TRUSTED.client(peer, headers) == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ('For="[2001:db8::1]:4711"; proto=https', "2001:db8::1"),
        ("for=1.1.1.1, for=203.0.113.9;by=10.0.0.1, for=10.2.2.2", "203.0.113.9"),
        ("for=1.1.1.1, proto=https", "10.0.0.1"),
        ("for=1.1.1.1, for=_hidden", "10.0.0.1"),
        ('for="1.1.1.1, for=203.0.113.9', "203.0.113.9"),
    ],
)
def test_forwarded_says_it_too(forwarded: str, client: str) -> None:
    assert TRUSTED.client(PROXY, {b"forwarded": forwarded.encode()}) == client
    assert TRUSTED.client(STRANGER, {b"forwarded": forwarded.encode()}) == STRANGER[0]


def test_a_client_cannot_overrule_the_other_header() -> None:
    both = {b"x-forwarded-for": b"203.0.113.9", b"forwarded": b"for=1.1.1.1"}

    assert TRUSTED.client(PROXY, both) == "203.0.113.9"


def test_nobody_is_trusted_by_default() -> None:
    headers = {b"x-forwarded-for": b"203.0.113.9", b"x-forwarded-prefix": b"/ml",
               b"x-forwarded-host": b"a.example"}  # fmt: skip
    nobody = TrustedProxies(())

    assert nobody.client(("127.0.0.1", 1), headers) == "127.0.0.1"
    assert nobody.prefix(("127.0.0.1", 1), headers) == ""
    assert nobody.host(("127.0.0.1", 1), headers) is None
    assert TrustedProxies(("*",)).client(("::1", 1), headers) == "203.0.113.9"


@pytest.mark.parametrize(
    ("said", "prefix"),
    [
        ("/ml", "/ml"),
        ("/ml/", "/ml"),
        ("ml", "/ml"),
        ("/team/ml-2.0_a~", "/team/ml-2.0_a~"),
        ("/team, /ml", "/team/ml"),
        ("/", ""),
        ("", ""),
        ("//attacker.example", "/attacker.example"),
        ("/a//b", ""),
        ("/..", ""),
        ("/a/../b", ""),
        ("/a'+alert(1)+'", ""),
        ('/"><script>', ""),
        ("/a b", ""),
        ("/é", ""),
        ("/a%2f", ""),
        ("/a\\b", ""),
        ("/" + "a" * 300, ""),
    ],
)
def test_a_prefix_is_plainly_a_path_or_nothing(said: str, prefix: str) -> None:
    headers = {b"x-forwarded-prefix": said.encode()}

    assert TRUSTED.prefix(PROXY, headers) == prefix
    assert TRUSTED.prefix(STRANGER, headers) == ""


def test_the_host_is_what_the_nearest_proxy_says() -> None:
    headers = {b"x-forwarded-host": b"evil.example, models.example.org"}

    assert TRUSTED.host(PROXY, headers) == b"models.example.org"
    assert TRUSTED.host(STRANGER, headers) is None


@pytest.mark.parametrize("network", ["10.0.0.0/33", "proxy", "", "10.0.0"])
def test_what_is_not_a_network_is_refused_at_start(network: str) -> None:
    with pytest.raises(ConfigurationError, match=r"trusted_proxies: .*10.0.0.0/8"):
        TrustedProxies((network,))


def test_a_prefix_of_the_settings_is_written_with_or_without_slashes() -> None:
    assert [read_prefix(text) for text in ("", "/", "ml", "/ml", "/ml/", "team/ml")] == [
        "", "", "/ml", "/ml", "/ml", "/team/ml",
    ]  # fmt: skip
    for wrong in ("https://a.example/ml", "/a b", "/../ml", "/a?b", "/%6dl"):
        with pytest.raises(ConfigurationError, match=r"root_path: .* is not a path"):
            read_prefix(wrong)
