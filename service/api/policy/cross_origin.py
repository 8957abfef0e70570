"""What pages of other origins may do: read responses, by setting, and drive nothing otherwise.

A browser lets every page send some requests anywhere without asking (forms, text, requests without
a body). It states on them whose they are, in headers that a page cannot set; clients that are not
browsers send neither header.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from service.api.problems import Headers
from service.errors import ConfigurationError, CrossSiteRequest

_EXPOSED_HEADERS = (
    b"X-Request-Id, X-Model, X-Model-Version, X-Shape, X-Seed, X-Warnings, Server-Timing,"
    b" Retry-After"
)
_USUAL_HEADERS = b"Accept, Authorization, Content-Encoding, Content-Type, X-Request-Id, traceparent"
_PREFLIGHT_SECONDS = 3600
_ALL = "*"
_OWN_SITES = (b"same-origin", b"none")  # none: what a person typed or chose
_SAFE_METHODS = ("GET", "HEAD")
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://[a-z0-9_.-]+(:[0-9]{1,5})?|[a-z]+://\[[0-9a-f:.]+\](:[0-9]{1,5})?"
)
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}")
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


class CrossOrigin:
    """The origins of a setting, and what follows from it.

    Attributes:
        is_any_allowed: Whether pages of any other origin may read responses.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        """Read the setting.

        Args:
            origins: As a browser writes them, ``https://app.example.org``, or ``*`` for all.

        Raises:
            ConfigurationError: One is not an origin.
        """
        self.is_any_allowed = bool(origins)
        self._allows_all = _ALL in origins
        self._other: Headers = []
        self._allowed: dict[bytes | None, Headers] = {}
        if self._allows_all:
            self._other = _read_headers(b"*")
        elif origins:
            self._other = [(b"vary", b"Origin")]
            for origin in map(_normalized, origins):
                self._allowed[origin] = [*_read_headers(origin), *self._other]

    def response_headers(self, origin: bytes | None) -> Headers:
        """Return what every response to a page of an origin carries.

        Args:
            origin: Value of the request's ``Origin``.
        """
        return self._allowed.get(origin, self._other)

    def preflight_headers(self, headers: Mapping[bytes, bytes], methods: str) -> Headers:
        """Answer a browser that asks whether it may send a request; nothing if it does not ask.

        Args:
            headers: Of the request, which has passed ``check``.
            methods: Those that the path takes.
        """
        if b"access-control-request-method" not in headers:
            return []
        if not (self._allows_all or headers.get(b"origin") in self._allowed):
            return []
        asked = headers.get(b"access-control-request-headers", b"")
        answer = [
            (b"access-control-allow-methods", methods.encode()),
            (
                b"access-control-allow-headers",
                asked if _HEADER_NAMES.fullmatch(asked) else _USUAL_HEADERS,
            ),
            (b"access-control-max-age", b"%d" % _PREFLIGHT_SECONDS),
        ]
        if headers.get(b"access-control-request-private-network") == b"true":
            answer.append((b"access-control-allow-private-network", b"true"))
        return answer

    def check(
        self, method: str, headers: Mapping[bytes, bytes], forwarded_host: bytes | None
    ) -> None:
        """Check a request that states its origin or its site.

        Links may lead here from anywhere; all else of another site is refused.

        Args:
            method: Of the request.
            headers: Of the request.
            forwarded_host: Host that a trusted proxy was asked for.

        Raises:
            CrossSiteRequest: A page of an origin that is not allowed sent it.
        """
        origin = headers.get(b"origin")
        site = headers.get(b"sec-fetch-site")
        if self._allows_all or origin in self._allowed or site in _OWN_SITES:
            return
        if origin is None:
            is_link = headers.get(b"sec-fetch-mode") == b"navigate" or site == b"same-site"
            if is_link and method in _SAFE_METHODS:
                return
        elif any(
            host is not None and _is_own(origin, host)
            for host in (headers.get(b"host"), forwarded_host)
        ):
            return
        raise CrossSiteRequest(
            "a page of another origin sent this request; LATENTSERVE_CORS_ORIGINS lists the"
            " origins whose pages may"
        )


def _read_headers(origin: bytes) -> Headers:
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED_HEADERS),
    ]


def _normalized(origin: str) -> bytes:
    """Write an origin as browsers do: in lower case, without a path, without a default port."""
    written = origin.lower().rstrip("/")
    if not _ORIGIN.fullmatch(written):
        raise ConfigurationError(
            f"cors_origins: {origin!r} is not an origin such as https://app.example.org or"
            " http://localhost:3000; * alone allows every origin"
        )
    scheme, _, host = written.encode().partition(b"://")
    return b"%s://%s" % (scheme, _without_default_port(scheme, host))


@lru_cache(maxsize=256)
def _is_own(origin: bytes, host: bytes) -> bool:
    """Say whether an origin is what a request was sent to, whatever a proxy did with its TLS."""
    scheme, separator, authority = origin.lower().partition(b"://")
    return bool(separator) and (
        _without_default_port(scheme, authority) == _without_default_port(scheme, host.lower())
    )


def _without_default_port(scheme: bytes, authority: bytes) -> bytes:
    return authority.removesuffix(_DEFAULT_PORTS.get(scheme, b":"))
