"""Strict models of requests and answers; the OpenAPI entries of the six calls come from here.

Number lists are never validated here: ``payloads`` turns them into arrays. What is checked is
everything beside them. What is only described, never validated, is built when somebody asks for the
description: ``defer_build``.
"""

from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

MAX_DECIMALS = 8  # with more the text is no shorter than that of exact numbers
MAX_SEED = 2**53 - 1  # the largest integer that every JSON reader keeps exact
_MAX_CONDITIONS = 64


def _refuse_many(conditions: object) -> object:
    if _fields_of(conditions) > _MAX_CONDITIONS:
        raise ValueError(f"at most {_MAX_CONDITIONS} conditions are read")
    return conditions


def _fields_of(value: object) -> int:
    return len(cast("dict[str, object]", value)) if isinstance(value, dict) else 0


Rate = Annotated[float, Field(gt=0, lt=1)]
ModelName = Annotated[str, Field(min_length=1, max_length=64)]
# An error in each of a million items is found by no one: lists stop at the first.
Id = str | Annotated[int, Field(ge=-(2**63), lt=2**64)]
Ids = Annotated[list[Id], Field(fail_fast=True)]
Condition = str | int | float | bool
Conditions = Annotated[
    dict[str, Condition | Annotated[list[Condition], Field(fail_fast=True)]],
    BeforeValidator(_refuse_many),
]
Row = Annotated[
    list[Any],
    Field(description="One row: nested in the model's shape, or flat in row-major order."),
]
Rows = Annotated[list[Row], Field(min_length=1, description="Rows, one or more.")]


class CallOptions(BaseModel):
    """What every inference request may carry beside its rows."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    model: ModelName | None = Field(
        None, description="Name of the model; may be left out where there is a default."
    )
    version: PositiveInt | None = Field(
        None, description="Version of the model; by default the pinned or highest one."
    )
    ids: Ids | None = Field(None, description="One id per row, passed through to the answer.")
    conditions: Conditions | None = Field(
        None,
        description="For conditional models: each condition's value, one for all rows or one"
        " per row.",
    )


class RowOptions(CallOptions):
    """What a call may carry that answers rows or codes."""

    decimals: Annotated[int, Field(ge=0, le=MAX_DECIMALS)] | None = Field(
        None,
        description="Round the numbers of JSON answers to so many decimals: off by half a unit of"
        " the last one at most. Shorter, and several times faster to write, than exact numbers.",
    )


class AnomalyScoreOptions(CallOptions):
    """What ``/anomaly-score`` takes beside rows."""

    score: str | None = Field(None, description="Name of the score; else the model's default.")
    false_positive_rate: Rate | None = Field(
        None, description="Share of normal rows that may be flagged; else the model's default."
    )
    false_discovery_rate: Rate | None = Field(
        None,
        description="Instead: expected share of normal rows among the flagged ones"
        " (Benjamini-Hochberg over this request's rows).",
    )

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.false_positive_rate is not None and self.false_discovery_rate is not None:
            raise ValueError("give false_positive_rate or false_discovery_rate, not both")
        return self


class SampleOptions(RowOptions):
    """What ``/sample`` takes."""

    count: PositiveInt = Field(description="How many rows to draw.")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = Field(
        None, description="Seed of the draw; the same seed gives the same answer."
    )
    temperature: Annotated[float, Field(ge=0, le=100)] = Field(
        1.0, description="Scale of the deviations from the prior's means."
    )
    prior: str | None = Field(None, description="Name of the prior; else the model's default.")


class InputsRequest(RowOptions, defer_build=True):
    """Rows in the client's own units."""

    inputs: Rows


class CodesRequest(RowOptions, defer_build=True):
    """Codes, as ``/encode`` answers them."""

    codes: Rows


class AnomalyScoreRequest(AnomalyScoreOptions, defer_build=True):
    """Rows to be scored."""

    inputs: Rows


class SampleRequest(SampleOptions, defer_build=True):
    """A request for new rows."""


class _Answer(BaseModel, defer_build=True):
    model_config = ConfigDict(extra="forbid")

    model: str
    version: int
    ids: list[str | int] | None = None


class EncodeAnswer(_Answer):
    """Codes of the rows; posterior means and log variances of a variational model."""

    codes: list[list[Any]]
    log_variances: list[list[Any]] | None = None


class DecodeAnswer(_Answer):
    """Decoded rows."""

    outputs: list[list[Any]]


class ReconstructAnswer(_Answer):
    """Reconstructed rows."""

    reconstructions: list[list[Any]]


class DenoiseAnswer(_Answer):
    """Rows without their noise."""

    denoised: list[list[Any]]


class AnomalyScoreAnswer(_Answer):
    """Scores, their p-values, and which rows are anomalies."""

    score: str
    scores: list[float]
    p_values: list[float]
    anomalies: list[bool]
    threshold: float | None
    calibration_rows: int
    p_value_floor: float
    warnings: list[str] | None = None


class SampleAnswer(_Answer):
    """Drawn rows, their codes, and the seed that draws them again."""

    samples: list[list[Any]]
    codes: list[list[Any]]
    seed: int


class FieldErrorDocument(BaseModel, defer_build=True):
    """One place of a request that is wrong."""

    pointer: str
    detail: str


class ProblemDocument(BaseModel, defer_build=True):
    """An error, as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldErrorDocument]


class VersionSummary(BaseModel):
    """One version of a model and whether it answers."""

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


class ModelList(BaseModel):
    """Every configured model."""

    models: list[ModelSummary]


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


class Readiness(BaseModel):
    """Whether everything that is required is loaded and warm, and the service does not close."""

    ready: bool
    draining: bool
    models: int
    not_ready: list[NotReadyVersion]


class ServiceVersion(BaseModel):
    """Versions of what answers."""

    service: str
    bundle_schema: str
    onnxruntime: str
    providers: list[str]
