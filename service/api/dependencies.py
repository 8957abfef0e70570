"""What routes need of the application."""

from typing import Annotated

from fastapi import Depends, Request

from service.api.authentication import Authenticator
from service.catalog.registry import Registry
from service.metrics.segments import SharedMemory


# Coroutines, though they wait for nothing: FastAPI sends plain functions to a thread.
async def _registry(request: Request) -> Registry:
    return request.app.state.registry


async def _memory(request: Request) -> SharedMemory:
    return request.app.state.memory


async def _authenticate(request: Request) -> None:
    authenticator: Authenticator = request.app.state.authenticator
    request.state.principal = authenticator.authenticate(dict(request.headers.raw))


AUTHENTICATED = Depends(_authenticate)
"""Asks for the same principal as the calls do."""
RegistryDependency = Annotated[Registry, Depends(_registry)]
MemoryDependency = Annotated[SharedMemory, Depends(_memory)]
