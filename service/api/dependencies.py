"""What routes ask the application for."""

from typing import Annotated

from fastapi import Depends, Request

from service.catalog.catalog import Catalog
from service.metrics.segments import SharedMemory
from service.process_status import ProcessStatus


# Coroutines, though they wait for nothing: FastAPI sends plain functions to a thread.
async def _catalog(request: Request) -> Catalog:
    return request.app.state.reconciler.catalog


async def _memory(request: Request) -> SharedMemory:
    return request.app.state.memory


async def _status(request: Request) -> ProcessStatus:
    return request.app.state.status


CatalogDependency = Annotated[Catalog, Depends(_catalog)]
"""The catalog as it was when the request came."""
MemoryDependency = Annotated[SharedMemory, Depends(_memory)]
StatusDependency = Annotated[ProcessStatus, Depends(_status)]
