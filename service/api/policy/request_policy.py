"""What a request's head alone decides, on every path and either way: who may ask, and from where.

It costs a few dictionary look-ups a request, and nothing where a setting is not set.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from service.api.policy.allowed_hosts import AllowedHosts
from service.api.policy.cross_origin import CrossOrigin
from service.api.policy.trusted_proxies import TrustedProxies, read_prefix
from service.api.problems import Headers
from service.settings import Settings


class RequestPolicy:
    """Hosts, origins and proxies, as the settings name them.

    Attributes:
        cross_origin: What pages of other origins may do.
        proxies: Whose word on the client counts.
        root_path: Prefix under which the service is published, unless a proxy names another.
    """

    def __init__(
        self,
        *,
        allowed_hosts: Sequence[str] | None = None,
        cors_origins: Sequence[str] = (),
        trusted_proxies: Sequence[str] = (),
        root_path: str = "",
    ) -> None:
        """Read the settings of the same names.

        Raises:
            ConfigurationError: One of them cannot be read.
        """
        self._hosts = None if allowed_hosts is None else AllowedHosts(allowed_hosts)
        self.cross_origin = CrossOrigin(cors_origins)
        self.proxies = TrustedProxies(trusted_proxies)
        self.root_path = read_prefix(root_path)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make the policy of a service.

        Raises:
            ConfigurationError: A setting cannot be read.
        """
        return cls(
            allowed_hosts=settings.allowed_hosts,
            cors_origins=settings.cors_origins,
            trusted_proxies=settings.trusted_proxies,
            root_path=settings.root_path,
        )

    def check(self, method: str, headers: Mapping[bytes, bytes], peer: Any) -> None:
        """Check a request's head.

        Args:
            method: Of the request.
            headers: Of the request.
            peer: The other end of the connection, as asyncio and ASGI name it.

        Raises:
            HostNotAllowed: It was sent to another host.
            CrossSiteRequest: A page of an origin that is not allowed sent it.
        """
        hosts = self._hosts
        if hosts is not None and headers.get(b"host") not in hosts.accepted:
            hosts.check(headers[b"host"])
        if b"origin" in headers or b"sec-fetch-site" in headers:
            self.cross_origin.check(method, headers, self.proxies.host(peer, headers))

    def response_headers(self, headers: Mapping[bytes, bytes]) -> Headers:
        """Return what every response to a request carries.

        Args:
            headers: Of the request.
        """
        return self.cross_origin.response_headers(headers.get(b"origin"))

    def prefix(self, headers: Mapping[bytes, bytes], peer: Any) -> str:
        """Return the path prefix under which the client sees the service.

        Args:
            headers: Of the request.
            peer: The other end of the connection.
        """
        return self.proxies.prefix(peer, headers) or self.root_path


OPEN_POLICY = RequestPolicy()
"""What a service without these settings has."""
