"""Liveness, readiness and versions."""

from fastapi import APIRouter, Response

from service import __version__
from service.api.dependencies import RegistryDependency
from service.api.schemas import Liveness, NotReadyVersion, Readiness, ServiceVersion
from service.bundle.manifest import SCHEMA_VERSION
from service.inference.session import available_providers, onnxruntime_version

_SERVICE_UNAVAILABLE = 503

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Liveness:
    """Say that the process runs and answers."""
    return Liveness(status="alive")


@router.get("/readyz", responses={_SERVICE_UNAVAILABLE: {"model": Readiness}})
async def readyz(registry: RegistryDependency, response: Response) -> Readiness:
    """Say whether every configured version is loaded and warm: 200, else 503 with the reasons.

    Versions that are ready answer in either case.
    """
    if not registry.ready:
        response.status_code = _SERVICE_UNAVAILABLE
    return Readiness(
        ready=registry.ready,
        models=len(registry.names),
        not_ready=[
            NotReadyVersion(
                model=version.location.name,
                version=version.location.version,
                state=version.state,
                reason=version.reason,
            )
            for version in registry
            if version.state != "ready"
        ],
    )


@router.get("/version")
async def version() -> ServiceVersion:
    """Say which versions of service, bundle schema and onnxruntime answer."""
    return ServiceVersion(
        service=__version__,
        bundle_schema=SCHEMA_VERSION,
        onnxruntime=onnxruntime_version(),
        providers=available_providers(),
    )
