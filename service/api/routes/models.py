"""What is loaded, and everything a client needs to use it."""

import asyncio
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from service.api.dependencies import CatalogDependency
from service.api.dialects.native.examples import example_conditions
from service.api.problems import PROBLEM_RESPONSE
from service.api.schemas import (
    GraphCost,
    ModelDetail,
    ModelList,
    ModelSummary,
    RefusedFolderSummary,
    VersionSummary,
)
from service.bundle.manifest import REPORT_FILE
from service.bundle.storage import read_listed_file
from service.catalog.catalog import Catalog, ModelVersion
from service.catalog.loading import LoadedModel
from service.errors import BundleError, ReportGone, ReportNotFound
from service.inference.warmup import BatchCosts
from service.operations.anomaly_score import thresholds_by_rate
from service.operations.table import capabilities

THRESHOLD_RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
# A report is HTML from a bundle: it is displayed, but may not run, load or send anything.
REPORT_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_log = logging.getLogger(__name__)

router = APIRouter(
    prefix="/models",
    tags=["models"],
    responses=dict.fromkeys((404, 422, 503), PROBLEM_RESPONSE),
)

Version = Annotated[int | None, Query(ge=1, description="By default the model's default version.")]


@router.get("")
async def list_models(catalog: CatalogDependency) -> ModelList:
    """List every configured model, ready or not, and folders that cannot be one."""
    return ModelList(
        models=[ModelSummary(**_summary(catalog, name)) for name in catalog.names],
        refused_folders=[
            RefusedFolderSummary(path=folder.path, reason=folder.reason)
            for folder in catalog.refused_folders
        ],
    )


@router.get("/{name}")
async def describe_model(
    name: str, catalog: CatalogDependency, version: Version = None
) -> ModelDetail:
    """Describe one version of a model: manifest, thresholds by rate, an example request."""
    model = catalog.resolve(name, version)
    return ModelDetail(
        **_summary(catalog, name, model),
        version=model.version,
        thresholds=thresholds_by_rate(model.autoencoder, THRESHOLD_RATES),
        graph_costs={name: _graph_cost(costs) for name, costs in model.costs.items()},
        example_request=_example_request(model),
        manifest=model.manifest.model_dump(mode="json"),
    )


@router.get(
    "/{name}/report",
    response_class=Response,
    responses={200: {"content": {"text/html": {}}}, 410: PROBLEM_RESPONSE},
)
async def show_report(name: str, catalog: CatalogDependency, version: Version = None) -> Response:
    """Show the page of the training run, as it was published with the bundle."""
    model = catalog.resolve(name, version)
    if REPORT_FILE not in model.manifest.files:
        raise ReportNotFound(f"version {model.version} of {name} was published without a report")
    page = await asyncio.to_thread(_read_report, model)
    return Response(
        page,
        media_type="text/html; charset=utf-8",
        headers={
            "content-security-policy": REPORT_POLICY,
            "x-content-type-options": "nosniff",
        },
    )


def _read_report(model: LoadedModel) -> bytes:
    try:
        return read_listed_file(model.location, model.manifest, REPORT_FILE)
    except BundleError as error:
        reason = f"{type(error).__name__}: {error}"
        facts = {"model": model.name, "version": model.version, "reason": reason}
        _log.warning("report gone", extra=facts)
        raise ReportGone(
            f"the report of version {model.version} of {model.name} is not there any more as it was"
            " published; the model answers as before"
        ) from error


def _summary(catalog: Catalog, name: str, described: LoadedModel | None = None) -> dict[str, Any]:
    """Summarize a model by the version that is described, else by its default version."""
    versions = catalog.versions_of(name)
    default_version = catalog.default_version(name)
    loaded = {item.location.version: item.loaded for item in versions}
    shown = described or loaded.get(default_version or 0)
    return {
        "name": name,
        "description": shown.manifest.description if shown else None,
        "capabilities": list(capabilities(shown.manifest)) if shown else [],
        "default": name == catalog.default_model,
        "default_version": default_version,
        "versions": [_version_summary(item) for item in versions],
    }


def _version_summary(version: ModelVersion) -> VersionSummary:
    loaded = version.loaded
    return VersionSummary(
        version=version.location.version,
        state=version.state,
        reason=version.reason,
        provider=loaded.provider if loaded else None,
        load_seconds=loaded.load_seconds if loaded else None,
        golden_deviation=loaded.golden_deviation if loaded else None,
    )


def _graph_cost(costs: BatchCosts) -> GraphCost:
    seconds = costs.seconds_by_rows
    return GraphCost(
        milliseconds_by_rows={rows: round(cost * 1000, 4) for rows, cost in seconds.items()},
        smallest_efficient_batch=costs.smallest_efficient_batch,
    )


def _example_request(model: LoadedModel) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": model.name,
        "version": model.version,
        "inputs": [list(model.manifest.example)],
    }
    if model.manifest.conditions:
        request["conditions"] = example_conditions(model.manifest)
    return request
