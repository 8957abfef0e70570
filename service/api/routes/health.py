"""Liveness, readiness and versions."""

from fastapi import APIRouter, Response

from service import __version__
from service.api.dependencies import NOT_STORED, CatalogDependency, StatusDependency
from service.api.schemas import Liveness, NotReadyFolder, NotReadyVersion, Readiness, ServiceVersion
from service.bundle.manifest import SCHEMA_VERSION
from service.inference.session import available_providers, onnxruntime_version

_SERVICE_UNAVAILABLE = 503

router = APIRouter(tags=["health"], dependencies=[NOT_STORED])


@router.get("/healthz")
async def healthz() -> Liveness:
    """Say that the process runs."""
    return Liveness(status="alive")


@router.get("/readyz", responses={_SERVICE_UNAVAILABLE: {"model": Readiness}})
async def readyz(
    catalog: CatalogDependency, status: StatusDependency, response: Response
) -> Readiness:
    """Say whether every required model is loaded and warm: 200, else 503 with the reasons.

    It is also 503 while the service drains, before it closes. Versions that are ready serve
    requests in either case.
    """
    ready = catalog.ready and not status.draining
    if not ready:
        response.status_code = _SERVICE_UNAVAILABLE
    return Readiness(
        ready=ready,
        draining=status.draining,
        models=len(catalog.names),
        not_ready=[
            NotReadyVersion(
                model=version.location.name,
                version=version.location.version,
                state=version.state,
                reason=version.reason,
                blocks_readiness=catalog.blocks_readiness(version),
            )
            for version in catalog
            if version.state != "ready"
        ],
        refused_folders=[
            NotReadyFolder(
                path=folder.path,
                reason=folder.reason,
                blocks_readiness=catalog.waits_for(folder.model),
            )
            for folder in catalog.refused_folders
        ],
    )


@router.get("/version")
async def version() -> ServiceVersion:
    """State the versions of service, bundle schema and onnxruntime."""
    return ServiceVersion(
        service=__version__,
        bundle_schema=SCHEMA_VERSION,
        onnxruntime=onnxruntime_version(),
        providers=available_providers(),
    )
