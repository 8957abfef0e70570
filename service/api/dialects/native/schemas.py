"""Strict models of requests and responses; the OpenAPI entries of the calls come from here.

Number lists are never validated here: ``formats`` turns them into arrays. What is checked is
everything beside them. What is only described, never validated, is built when the document is asked
for: ``defer_build``.
"""

from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

from service.operations.anomaly_score import ScoreOptions
from service.operations.sample import MAX_SEED, SampleOptions

MAX_DECIMALS = 8  # with more the text is no shorter than that of exact numbers
_MAX_CONDITIONS = 64


def _reject_many(conditions: object) -> object:
    if _fields_of(conditions) > _MAX_CONDITIONS:
        raise ValueError(f"at most {_MAX_CONDITIONS} conditions are read")
    return conditions


def _fields_of(value: object) -> int:
    return len(cast("dict[str, object]", value)) if isinstance(value, dict) else 0


Rate = Annotated[float, Field(gt=0, lt=1)]
ModelName = Annotated[str, Field(min_length=1, max_length=64)]
# A list of a million wrong items has one error: lists stop at the first.
Id = str | Annotated[int, Field(ge=-(2**63), lt=2**64)]
Ids = Annotated[list[Id], Field(fail_fast=True)]
Condition = str | int | float | bool
Conditions = Annotated[
    dict[str, Condition | Annotated[list[Condition], Field(fail_fast=True)]],
    BeforeValidator(_reject_many),
]
Row = Annotated[
    list[Any],
    Field(description="One row: nested in the model's shape, or flat in row-major order."),
]
Rows = Annotated[list[Row], Field(min_length=1, description="Rows, one or more.")]


class CallFields(BaseModel):
    """What every inference request may carry beside its rows."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    model: ModelName | None = Field(
        None, description="Name of the model; may be left out where there is a default."
    )
    version: PositiveInt | None = Field(
        None, description="Version of the model; by default the pinned or highest one."
    )
    ids: Ids | None = Field(None, description="One id per row, passed through to the response.")
    conditions: Conditions | None = Field(
        None,
        description="For conditional models: each condition's value, one for all rows or one"
        " per row.",
    )
    white: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        None,
        description="For pictures of 16 bits a sample: the sample that is white, such as 4095 for"
        " data of 12 bits; by default 65535.",
    )

    def options(self) -> Any:
        """Return what the operation takes besides rows and conditions."""
        return None


class RowFields(CallFields):
    """What a call may carry that returns rows or codes."""

    decimals: Annotated[int, Field(ge=0, le=MAX_DECIMALS)] | None = Field(
        None,
        description="Round the numbers of JSON responses to so many decimals: off by half a unit of"
        " the last one at most. Shorter, and several times faster to write, than exact numbers.",
    )


class AnomalyScoreFields(CallFields):
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

    def options(self) -> ScoreOptions:
        """Return what the operation takes."""
        return ScoreOptions(self.score, self.false_positive_rate, self.false_discovery_rate)

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.false_positive_rate is not None and self.false_discovery_rate is not None:
            raise ValueError("give false_positive_rate or false_discovery_rate, not both")
        return self


class SampleFields(RowFields):
    """What ``/sample`` takes."""

    count: PositiveInt = Field(description="How many rows to draw.")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = Field(
        None, description="Seed of the draw; the same seed gives the same response."
    )
    temperature: Annotated[float, Field(ge=0, le=100)] | None = Field(
        1.0, description="Scale of the deviations from the prior's means."
    )
    prior: str | None = Field(None, description="Name of the prior; else the model's default.")

    def options(self) -> SampleOptions:
        """Return what the operation takes."""
        temperature = 1.0 if self.temperature is None else self.temperature
        return SampleOptions(self.count, self.seed, temperature, self.prior)


class InputsRequest(RowFields, defer_build=True):
    """Rows in the client's own units."""

    inputs: Rows


class CodesRequest(RowFields, defer_build=True):
    """Codes, as ``/encode`` returns them."""

    codes: Rows


class AnomalyScoreRequest(AnomalyScoreFields, defer_build=True):
    """Rows to be scored."""

    inputs: Rows


class SampleRequest(SampleFields, defer_build=True):
    """A request for new rows."""


class _Response(BaseModel, defer_build=True):
    model_config = ConfigDict(extra="forbid")

    model: str
    version: int
    ids: list[str | int] | None = None


class EncodeResponse(_Response):
    """Codes of the rows; posterior means and log variances of a variational model."""

    codes: list[list[Any]]
    log_variances: list[list[Any]] | None = None


class DecodeResponse(_Response):
    """Decoded rows."""

    outputs: list[list[Any]]


class ReconstructResponse(_Response):
    """Reconstructed rows."""

    reconstructions: list[list[Any]]


class DenoiseResponse(_Response):
    """Rows without their noise."""

    denoised: list[list[Any]]


class AnomalyScoreResponse(_Response):
    """Scores, their p-values, and which rows are anomalies."""

    score: str
    scores: list[float]
    p_values: list[float]
    anomalies: list[bool]
    threshold: float | None
    calibration_rows: int
    p_value_floor: float
    warnings: list[str] | None = None


class SampleResponse(_Response):
    """Drawn rows, their codes, and the seed that draws them again."""

    samples: list[list[Any]]
    codes: list[list[Any]]
    seed: int
