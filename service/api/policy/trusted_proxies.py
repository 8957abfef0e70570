"""What reverse proxies say of the requests that they pass on, believed of trusted ones alone."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from service.errors import ConfigurationError

_ALL = ("0.0.0.0/0", "::/0")
_MAX_HOPS = 20
_MAX_PREFIX_BYTES = 256
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~@:+-]+)+")
_FORWARDED_FOR = re.compile(rb'[\s"]*for\s*=[\s"]*([^\s";]+)', re.IGNORECASE)
_NODE = re.compile(rb"([0-9.]{7,15})(?::[0-9]{1,5})?|\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?"
                   rb"|([0-9A-Fa-f:.]{2,45})")  # fmt: skip

_Address = IPv4Address | IPv6Address


class TrustedProxies:
    """The proxies of a setting, and what they add to requests."""

    def __init__(self, networks: Sequence[str]) -> None:
        """Read the setting.

        Args:
            networks: Addresses and networks, ``10.0.0.0/8``, or ``*`` for all.

        Raises:
            ConfigurationError: One is neither.
        """
        written = [part for network in networks for part in (_ALL if network == "*" else [network])]
        try:
            self._networks = [ip_network(network, strict=False) for network in written]
        except ValueError as error:
            raise ConfigurationError(
                f"trusted_proxies: {error}; write addresses and networks such as 10.0.0.0/8"
            ) from error
        self._trusts = lru_cache(maxsize=1024)(self._includes)

    def client(self, peer: Any, headers: Mapping[bytes, bytes]) -> str | None:
        """Return the address of the client: the nearest one that is not of a trusted proxy.

        Every proxy adds whom it was asked by on the right, so what a client wrote itself stands
        further left than its own address. ``X-Forwarded-For`` goes before ``Forwarded``.

        Args:
            peer: The other end of the connection, as asyncio and ASGI name it.
            headers: Of the request.

        Returns:
            None where the connection has no address.
        """
        client = _peer_address(peer)
        if client is None:
            return None
        if not self._networks:
            return _text(client)
        for hop in _hops(headers):
            if not self._trusts(client):
                break
            address = _node_address(hop)
            if address is None:
                break
            client = address
        return _text(client)

    def prefix(self, peer: Any, headers: Mapping[bytes, bytes]) -> str:
        """Return the path prefix under which a trusted proxy publishes the service, if it says so.

        Args:
            peer: The other end of the connection.
            headers: Of the request.
        """
        said = headers.get(b"x-forwarded-prefix")
        if said is None or not self.includes_peer(peer):
            return ""
        return _joined_prefix(said) if len(said) <= _MAX_PREFIX_BYTES else ""

    def host(self, peer: Any, headers: Mapping[bytes, bytes]) -> bytes | None:
        """Return the host that a trusted proxy was asked for, if it says so.

        Args:
            peer: The other end of the connection.
            headers: Of the request.
        """
        said = headers.get(b"x-forwarded-host")
        if said is None or not self.includes_peer(peer):
            return None
        return said.rpartition(b",")[2].strip()

    def includes_peer(self, peer: Any) -> bool:
        """Say whether the other end of a connection is a trusted proxy."""
        if not self._networks:
            return False
        address = _peer_address(peer)
        return address is not None and self._trusts(address)

    def _includes(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def read_prefix(written: str) -> str:
    """Read a path prefix of the settings.

    Example:
        >>> read_prefix("ml/")
        '/ml'

    Raises:
        ConfigurationError: It cannot stand in a path as it is.
    """
    prefix = "/" + written.strip("/")
    if prefix == "/":
        return ""
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(f"root_path: {written!r} is not a path such as /ml or /team/ml")
    return prefix


@lru_cache(maxsize=64)
def _joined_prefix(said: bytes) -> str:
    """Join what several proxies say; nothing unless it is plainly a path."""
    parts = [part.strip().strip("/") for part in said.decode("latin-1").split(",")]
    prefix = "".join(f"/{part}" for part in parts if part)
    return prefix if _PREFIX.fullmatch(prefix) else ""


def _hops(headers: Mapping[bytes, bytes]) -> list[bytes]:
    """List whom each proxy was asked by, the nearest first; an empty one where it is not said."""
    if (said := headers.get(b"x-forwarded-for")) is not None:
        return said.rsplit(b",", _MAX_HOPS)[: -_MAX_HOPS - 1 : -1]
    elements = headers.get(b"forwarded", b"").rsplit(b",", _MAX_HOPS)[: -_MAX_HOPS - 1 : -1]
    return [_forwarded_for(element) for element in elements]


def _forwarded_for(element: bytes) -> bytes:
    for pair in element.split(b";"):
        if matched := _FORWARDED_FOR.match(pair):
            return matched[1]
    return b""


def _peer_address(peer: Any) -> _Address | None:
    if not isinstance(peer, (tuple, list)) or not peer:
        return None
    return _parsed(str(peer[0]))  # pyright: ignore[reportUnknownArgumentType]  # it is checked there


def _node_address(node: bytes) -> _Address | None:
    matched = _NODE.fullmatch(node.strip(b' \t"'))
    if matched is None:
        return None
    return _parsed((matched[1] or matched[2] or matched[3]).decode("ascii"))


_text = lru_cache(maxsize=1024)(str)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> _Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # What a socket for both versions calls a client of version 4.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
