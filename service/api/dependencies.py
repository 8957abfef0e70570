"""What routes ask the application for."""

from typing import Annotated

from fastapi import Depends, Request

from service.inference.registry import Registry


def _registry(request: Request) -> Registry:
    return request.app.state.registry


RegistryDependency = Annotated[Registry, Depends(_registry)]
