"""Request authentication: who sent a request, and what they may do."""

from collections.abc import Mapping
from typing import Protocol

from service.errors import RequestError
from service.request_context import ANONYMOUS, Principal


class Authenticator(Protocol):
    """Decides who sent a request, and whether they may do what it asks for."""

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        """Return who sent a request, by its headers alone, or raise a ``RequestError``."""
        ...

    def authorize(self, principal: Principal, operation: str, model: str) -> None:
        """Raise a ``RequestError`` unless a principal may do an operation with a model."""
        ...


class AllowAll:
    """The policy of a service without keys: everyone is the same principal and may do anything."""

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:  # noqa: ARG002  # the protocol's
        """Return the anonymous principal."""
        return ANONYMOUS

    def authorize(self, principal: Principal, operation: str, model: str) -> None:
        """Allow it."""


def may_use(
    authenticator: Authenticator, headers: Mapping[bytes, bytes], operation: str, model: str
) -> bool:
    """Say whether a request with these headers may do an operation with a model."""
    try:
        authenticator.authorize(authenticator.authenticate(headers), operation, model)
    except RequestError:
        return False
    return True
