"""What routes need of the application."""

from typing import Annotated

from fastapi import Depends, Request, Response

from service.api.authentication import Authenticator
from service.catalog.catalog import Catalog
from service.metrics.segments import SharedMemory
from service.process_status import ProcessStatus


# Coroutines, though they wait for nothing: FastAPI sends plain functions to a thread.
async def _catalog(request: Request) -> Catalog:
    return request.app.state.reconciler.catalog


async def _memory(request: Request) -> SharedMemory:
    return request.app.state.memory


async def _authenticate(request: Request) -> None:
    authenticator: Authenticator = request.app.state.authenticator
    request.state.principal = authenticator.authenticate(dict(request.headers.raw))


AUTHENTICATED = Depends(_authenticate)
"""Asks for the same principal as the calls do."""


async def _not_stored(response: Response) -> None:
    response.headers["cache-control"] = "no-store"


NOT_STORED = Depends(_not_stored)
"""Has caches on the way keep no response: it says what holds now."""


async def _status(request: Request) -> ProcessStatus:
    return request.app.state.status


CatalogDependency = Annotated[Catalog, Depends(_catalog)]
"""The catalog as it was when the request came."""
MemoryDependency = Annotated[SharedMemory, Depends(_memory)]
StatusDependency = Annotated[ProcessStatus, Depends(_status)]
