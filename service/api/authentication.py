"""Who may call: the step of the hot path that decides it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Principal:
    """Who sent a request."""

    name: str


class Authenticator(Protocol):
    """Decides who sent a request, from its headers alone."""

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        """Return who sent the request, or raise a ``RequestError``."""
        ...


class AllowAll:
    """The policy of a service without keys: everyone is the same anonymous principal."""

    _anonymous = Principal("anonymous")

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:  # noqa: ARG002  # the protocol's
        """Return the anonymous principal."""
        return self._anonymous
