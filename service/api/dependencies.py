"""What routes ask the application for."""

from typing import Annotated

from fastapi import Depends, Request

from service.catalog.registry import Registry
from service.metrics.segments import SharedMemory


# Coroutines, though they wait for nothing: FastAPI sends plain functions to a thread.
async def _registry(request: Request) -> Registry:
    return request.app.state.registry


async def _memory(request: Request) -> SharedMemory:
    return request.app.state.memory


RegistryDependency = Annotated[Registry, Depends(_registry)]
MemoryDependency = Annotated[SharedMemory, Depends(_memory)]
