"""Addresses to listen on, and why one cannot be had."""

import errno
import socket
from typing import Any

import pytest

from service.errors import AddressUnavailable
from service.processes.listening import open_listener, url


def test_a_port_in_use_is_named_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = f"^cannot listen on 127.0.0.1, port {port}: Address already in use$"
        with pytest.raises(AddressUnavailable, match=sentence):
            open_listener("127.0.0.1", port)
        for everywhere in ("*", "::"):
            with pytest.raises(AddressUnavailable, match=f"port {port}: Address already in use"):
                open_listener(everywhere, port)


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.1",
        "2001:db8::1",
        "no.host.invalid",
        "a..b",
        "x" * 300,
        "a\0b",
        "\udce9",
        "1.2.3",
    ],
)
def test_an_address_that_is_not_this_machines_is_named(host: str) -> None:
    with pytest.raises(AddressUnavailable) as caught:
        open_listener(host, 0)

    assert str(caught.value).startswith(f"cannot listen on {host}, port 0: ")
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", " 127.0.0.1 ", "[127.0.0.1]"])
def test_the_url_of_a_listener_is_usable(host: str) -> None:
    with open_listener(host, 0) as listener:
        port = listener.getsockname()[1]
        assert url(listener) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port), 60).close()


@pytest.mark.parametrize("host", ["*", "::"])
def test_a_machine_without_ipv6_listens_on_ipv4(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutIpv6(socket.socket):
        def __init__(self, family: Any = -1, *arguments: Any, **options: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *arguments, **options)

    monkeypatch.setattr(socket, "socket", WithoutIpv6)
    with open_listener(host, 0) as listener:
        assert url(listener).startswith("http://0.0.0.0:")
