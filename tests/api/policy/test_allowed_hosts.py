"""Which ``Host`` headers are answered: names, addresses and networks, whatever the port."""

import pytest

from service.api.policy.allowed_hosts import LOCAL_HOSTS, AllowedHosts
from service.errors import ConfigurationError, HostNotAllowed


def includes(hosts: tuple[str, ...], host: bytes | None) -> bool:
    try:
        AllowedHosts(hosts).check(host)
    except HostNotAllowed:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    [None, b"", b"localhost", b"LOCALHOST:8000", b"localhost.:80", b"app.localhost:1",
     b"127.0.0.1:8000", b"127.8.9.1", b"[::1]:8000", b"[::1]", b"192.168.1.7:80", b"localhost:"],
)  # fmt: skip
def test_a_local_service_answers_for_localhost_and_addresses(host: bytes | None) -> None:
    assert includes(LOCAL_HOSTS, host)


@pytest.mark.parametrize(
    "host",
    [b"attacker.example", b"attacker.example:8000", b"localhost.attacker.example", b"evil",
     b"127.0.0.1.attacker.example", b"notlocalhost", b"localhost@evil", b"localhost, evil",
     b"localhost:80:80", b"localhost/", b"[::1", b"::1]", b"[localhost]", b"[1.2.3.4.5]",
     b"localhost\xff", b"127.0.0.1#", b"1" * 70_000, b" ", b"0x7f.1"],
)  # fmt: skip
def test_a_local_service_answers_for_no_other_name(host: bytes) -> None:
    assert not includes(LOCAL_HOSTS, host)


@pytest.mark.parametrize(
    ("hosts", "host", "expected"),
    [
        (("models.example.org",), b"models.example.org:443", True),
        (("Models.Example.org",), b"MODELS.example.ORG", True),
        (("models.example.org",), b"example.org", False),
        (("models.example.org",), b"localhost", False),
        (("*.example.org",), b"a.example.org", True),
        (("*.example.org",), b"a.b.example.org", True),
        (("*.example.org",), b"example.org", False),
        (("*.example.org",), b"badexample.org", False),
        (("10.0.0.0/8",), b"10.1.2.3:8000", True),
        (("10.0.0.0/8",), b"11.1.2.3:8000", False),
        (("10.0.0.7",), b"10.0.0.7", True),
        (("[fd00::7]",), b"[fd00:0::7]:80", True),
        (("fd00::/8",), b"[fe80::7]:80", False),
        (("*",), b"anything at all", True),
        (("a.example", "*"), b"b.example", True),
    ],
)
def test_a_setting_names_what_is_answered(
    hosts: tuple[str, ...], host: bytes, expected: bool
) -> None:
    assert includes(hosts, host) is expected


@pytest.mark.parametrize(
    "host", ["https://a.example", "a.example:80", "a example", "", "*a.example", "a.*", "a/b", "."]
)
def test_what_cannot_be_a_host_is_refused_at_start(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed_hosts: .* leave out scheme and port"):
        AllowedHosts((host,))


def test_no_number_of_hosts_fills_the_memory() -> None:
    hosts = AllowedHosts(("*",))
    for number in range(2000):
        hosts.check(b"%d.example.org" % number)
    hosts.check(b"1" * 60_000)

    assert sum(len(host or b"") for host in hosts.accepted) < 256 * 262
