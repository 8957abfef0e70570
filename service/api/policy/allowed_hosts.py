"""Which values of the ``Host`` header are answered, so that a page cannot rebind its name to here.

A page of ``http://attacker.example`` whose name is made to resolve to this machine is of the same
origin as this service to its browser, and could read everything. Its requests still state the name.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from service.errors import ConfigurationError, HostNotAllowed

LOCAL_HOSTS = ("localhost", "*.localhost", "0.0.0.0/0", "::/0")
"""What a service answers that listens on a loopback address: an address cannot be rebound."""

_MAX_ACCEPTED = 256
_MAX_HOST_BYTES = 262  # of a name, with its port
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_HOST = re.compile(rb"(?:([A-Za-z0-9_.-]{1,255})|\[([0-9A-Fa-f:.]{2,45})\])(?::[0-9]{0,5})?")


class AllowedHosts:
    """The names, wildcards, addresses and networks of a setting; a port is ignored.

    Attributes:
        accepted: Values of ``Host`` that need no second look.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        """Read the setting.

        Args:
            hosts: ``models.example.org``, ``*.example.org``, ``10.0.0.7``, ``10.0.0.0/8``, ``::1``,
                or ``*`` for all.

        Raises:
            ConfigurationError: One is neither a name nor an address.
        """
        self._names: set[str] = set()
        self._endings: list[str] = []
        self._networks: list[IPv4Network | IPv6Network] = []
        self.accepted: set[bytes | None] = {None, b""}  # clients that send none are not browsers
        for host in hosts:
            self._add(host.lower())

    def check(self, host: bytes | None) -> None:
        """Check the value of a ``Host`` header.

        Raises:
            HostNotAllowed: It is not of the setting.
        """
        if host is None or host in self.accepted:
            return
        if not self._includes(host):
            raise HostNotAllowed(
                "the Host header names another host than this service answers for;"
                " LATENTSERVE_ALLOWED_HOSTS lists those"
            )
        if len(self.accepted) < _MAX_ACCEPTED and len(host) <= _MAX_HOST_BYTES:
            self.accepted.add(host)

    def _add(self, host: str) -> None:
        try:
            self._networks.append(ip_network(host.strip("[]"), strict=False))
        except ValueError:
            if host == "*":
                self._endings.append("")
            elif not _NAME.fullmatch(host):
                raise ConfigurationError(
                    f"allowed_hosts: {host!r} is not a name such as models.example.org, a wildcard"
                    " such as *.example.org, an address or a network; leave out scheme and port"
                ) from None
            elif host.startswith("*."):
                self._endings.append(host[1:])
            else:
                self._names.add(host)

    def _includes(self, host: bytes) -> bool:
        matched = _HOST.fullmatch(host)
        if matched is None:
            return "" in self._endings
        name = (matched[1] or matched[2]).decode("ascii").lower().removesuffix(".")
        if name in self._names or name.endswith(tuple(self._endings)):
            return True
        address = _address(name)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
