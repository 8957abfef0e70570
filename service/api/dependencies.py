"""What routes ask the application for."""

from typing import Annotated

from fastapi import Depends, Request

from service.inference.registry import Registry
from service.metrics.segments import SharedMemory


def _registry(request: Request) -> Registry:
    return request.app.state.registry


def _memory(request: Request) -> SharedMemory:
    return request.app.state.memory


RegistryDependency = Annotated[Registry, Depends(_registry)]
MemoryDependency = Annotated[SharedMemory, Depends(_memory)]
