"""What every worker has counted, for Prometheus."""

import platform
from typing import Annotated

from fastapi import APIRouter, Header, Response

from service import __version__
from service.api.dependencies import MemoryDependency, RegistryDependency
from service.bundle.manifest import SCHEMA_VERSION
from service.catalog.registry import Registry
from service.inference.session import onnxruntime_version
from service.metrics.families import BUILD_INFO, MODEL_INFO

router = APIRouter(tags=["health"])


# Not a coroutine: it runs on a thread, so that requests need not wait while thousands of lines
# are written.
@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def show_metrics(
    registry: RegistryDependency,
    memory: MemoryDependency,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """Show what all workers together have counted, in the text format of Prometheus."""
    # prometheus-client takes a fiftieth of the time until the service is ready.
    from service.metrics.exposition import render  # noqa: PLC0415

    infos = ((MODEL_INFO, _models(registry)), (BUILD_INFO, [_build()]))
    document, media_type = render(memory.segments, infos, accept)
    return Response(document, headers={"content-type": media_type})


def _models(registry: Registry) -> list[tuple[str, ...]]:
    return [
        (
            version.location.name,
            str(version.location.version),
            version.state,
            version.loaded.provider if version.loaded else "",
        )
        for version in registry
    ]


def _build() -> tuple[str, ...]:
    return (__version__, str(SCHEMA_VERSION), onnxruntime_version(), platform.python_version())
