"""What every worker has counted, for Prometheus."""

import platform
from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Header, Response

from service import __version__
from service.api.dependencies import CatalogDependency, MemoryDependency, StatusDependency
from service.bundle.manifest import SCHEMA_VERSION
from service.catalog.catalog import Catalog
from service.cgroups import memory_limit_bytes
from service.inference.session import onnxruntime_version
from service.metrics import families, usage
from service.metrics.segments import Series
from service.process_status import ProcessStatus

router = APIRouter(tags=["health"])


# Not a coroutine: it runs on a thread, so that requests need not wait while thousands of lines
# are written.
@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def show_metrics(
    catalog: CatalogDependency,
    memory: MemoryDependency,
    status: StatusDependency,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """Show what all workers together have counted, in the text format of Prometheus."""
    # prometheus-client takes a fiftieth of the time until the service is ready.
    from service.metrics.exposition import render  # noqa: PLC0415

    counted = chain.from_iterable(segment.series() for segment in memory.segments)
    document, media_type = render(
        chain(
            counted,
            _worker_series(status),
            _process_series(status),
            _catalog_series(catalog),
            [_build_series()],
        ),
        accept,
    )
    return Response(document, headers={"content-type": media_type, "cache-control": "no-store"})


def _worker_series(status: ProcessStatus) -> Iterator[Series]:
    for worker in status.workers:
        if worker.used:
            number = (str(worker.number),)
            yield families.WORKERS, (), [float(worker.running)]
            yield families.CONNECTIONS, (), [float(worker.connections_taken)]
            yield families.OPEN_CONNECTIONS, number, [float(worker.open_connections)]
            yield families.HEARTBEATS, number, [float(worker.heartbeats)]


def _process_series(status: ProcessStatus) -> Iterator[Series]:
    """List what each process takes of the machine, as far as the system tells it."""
    processes = {str(worker.number): worker.process for worker in status.workers if worker.running}
    if status.supervisor:
        processes["supervisor"] = status.supervisor
    booted = usage.boot_seconds()
    for name, process in processes.items():
        seen = usage.read_usage(process)
        values = {
            families.PROCESSOR_SECONDS: seen and seen.processor_seconds,
            families.RESIDENT_BYTES: seen and seen.resident_bytes,
            families.VIRTUAL_BYTES: seen and seen.virtual_bytes,
            families.START_TIME: seen and booted and booted + seen.start_seconds,
            families.OPEN_DESCRIPTORS: usage.count_open_descriptors(process),
            families.MAX_DESCRIPTORS: usage.max_descriptors(process),
        }
        for family, value in values.items():
            if value is not None:
                yield family, (name,), [float(value)]
    if (limit := memory_limit_bytes()) is not None:
        yield families.MEMORY_LIMIT, (), [float(limit)]


def _catalog_series(catalog: Catalog) -> Iterator[Series]:
    yield families.REFUSED_FOLDERS, (), [float(len(catalog.refused_folders))]
    for version in catalog:
        name, number = version.key
        provider = version.loaded.provider if version.loaded else ""
        yield families.MODEL_INFO, (name, str(number), version.state, provider), [1.0]


def _build_series() -> Series:
    versions = (
        __version__, str(SCHEMA_VERSION), onnxruntime_version(), platform.python_version(),
    )  # fmt: skip
    return families.BUILD_INFO, versions, [1.0]
