"""What the routes and problems look like in JSON, for the documentation.

Models that are only described, never validated, are built when the OpenAPI document is requested:
``defer_build``.
"""

from typing import Any

from pydantic import BaseModel


class FieldErrorDocument(BaseModel, defer_build=True):
    """One place of a request that is wrong."""

    pointer: str
    detail: str


class ProblemDocument(BaseModel, defer_build=True):
    """An error, as RFC 9457 describes it.

    ``example`` is a JSON body that works, where one helps: of the call and model that were meant.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldErrorDocument]
    example: dict[str, Any] | None = None


class VersionSummary(BaseModel):
    """One version of a model and whether it is ready."""

    version: int
    state: str
    reason: str | None
    provider: str | None
    load_seconds: float | None
    golden_deviation: float | None


class ModelSummary(BaseModel):
    """One model in the list."""

    name: str
    description: str | None
    capabilities: list[str]
    default: bool
    default_version: int | None
    versions: list[VersionSummary]


class RefusedFolderSummary(BaseModel):
    """A folder that looks like a bundle, or like a model's, and cannot be served."""

    path: str
    reason: str


class ModelList(BaseModel):
    """Every configured model, and folders that cannot be one."""

    models: list[ModelSummary]
    refused_folders: list[RefusedFolderSummary]


class GraphCost(BaseModel):
    """What a run of one graph costs on this machine."""

    milliseconds_by_rows: dict[int, float]
    smallest_efficient_batch: int


class ModelDetail(ModelSummary):
    """Everything a client needs to use one version of a model.

    ``thresholds`` gives, by score and false-positive rate, the score above which a row is an
    anomaly; ``example_request`` is a body that any call taking ``inputs`` accepts.
    """

    version: int
    thresholds: dict[str, dict[str, float | None]]
    graph_costs: dict[str, GraphCost]
    example_request: dict[str, Any]
    manifest: dict[str, Any]


class Liveness(BaseModel):
    """The process runs."""

    status: str


class NotReadyVersion(BaseModel):
    """A configured version that is loading or was refused, and whether the service waits for it."""

    model: str
    version: int
    state: str
    reason: str | None
    blocks_readiness: bool


class NotReadyFolder(RefusedFolderSummary):
    """A folder that cannot be served, and whether the service is not ready for it."""

    blocks_readiness: bool


class Readiness(BaseModel):
    """Whether every required model is loaded and warm, and the service does not close."""

    ready: bool
    draining: bool
    models: int
    not_ready: list[NotReadyVersion]
    refused_folders: list[NotReadyFolder]


class ServiceVersion(BaseModel):
    """Versions of the service and of what it runs on."""

    service: str
    bundle_schema: str
    onnxruntime: str
    providers: list[str]
