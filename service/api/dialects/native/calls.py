"""The six inference calls: what each takes, runs and answers."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from service.api import schemas
from service.arrays import FloatArray
from service.bundle.manifest import Capability
from service.errors import TooManyRows
from service.inference.autoencoder import Autoencoder
from service.inference.graphs import RequestContext

Options = TypeVar("Options", bound=schemas.CallOptions)

_SCORE_RECORD = np.dtype([("score", "<f4"), ("p_value", "<f8"), ("anomaly", "?")])


@dataclass(slots=True)
class Work(Generic[Options]):
    """A request that has passed every check.

    Attributes:
        autoencoder: The model it means.
        options: What it carries beside rows.
        rows: Its rows, float32; empty for a call that takes none.
        conditions: Conditions of its rows, for a conditional model.
        context: Deadline and times.
    """

    autoencoder: Autoencoder
    options: Options
    rows: FloatArray
    conditions: FloatArray | None
    context: RequestContext


@dataclass(slots=True)
class Answer:
    """What a call found, before it is written in any media type.

    Attributes:
        main: The array that dense media types hold.
        rows_field: Name of the field that holds rows in the client's units, if any: it is what
            pictures show.
        fields: Fields of the JSON answer, besides model, version and ids.
        headers: Facts that an answer without fields states in its headers.
    """

    main: NDArray[Any]
    rows_field: str | None
    fields: dict[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, eq=False)
class Call(Generic[Options]):
    """One of the six calls.

    Attributes:
        capability: Its name; the path is ``/`` and that name.
        rows_field: Field of the request that holds rows, if it takes any.
        options: Model of everything else it takes.
        request: Model of a whole request, for the documentation.
        answer: Model of its answer, for the documentation.
        answers_rows: Whether the answer is rows in the client's units.
        run: Does the work.
        summary: One line for the documentation.
    """

    capability: Capability
    rows_field: str | None
    options: type[Options]
    request: type[BaseModel]
    answer: type[BaseModel]
    answers_rows: bool
    run: Callable[[Work[Options]], Awaitable[Answer]]
    summary: str

    @cached_property
    def path(self) -> str:
        """The call's path."""
        return f"/{self.capability}"


async def _encode(work: Work[schemas.RowOptions]) -> Answer:
    encoding = await work.autoencoder.encode(work.rows, work.conditions, context=work.context)
    fields: dict[str, Any] = {"codes": encoding.codes}
    if encoding.log_variances is not None:
        fields["log_variances"] = encoding.log_variances
    return Answer(encoding.codes, None, fields)


async def _decode(work: Work[schemas.RowOptions]) -> Answer:
    outputs = await work.autoencoder.decode(work.rows, work.conditions, context=work.context)
    return Answer(outputs, "outputs", {"outputs": outputs})


async def _reconstruct(work: Work[schemas.RowOptions]) -> Answer:
    rows = await work.autoencoder.reconstruct(work.rows, work.conditions, context=work.context)
    return Answer(rows, "reconstructions", {"reconstructions": rows})


async def _denoise(work: Work[schemas.RowOptions]) -> Answer:
    rows = await work.autoencoder.denoise(work.rows, work.conditions, context=work.context)
    return Answer(rows, "denoised", {"denoised": rows})


async def _anomaly_score(work: Work[schemas.AnomalyScoreOptions]) -> Answer:
    decision = await work.autoencoder.score(
        work.rows,
        work.conditions,
        context=work.context,
        score=work.options.score,
        false_positive_rate=work.options.false_positive_rate,
        false_discovery_rate=work.options.false_discovery_rate,
    )
    records = np.empty(len(decision.scores), _SCORE_RECORD)
    records["score"] = decision.scores
    records["p_value"] = decision.p_values
    records["anomaly"] = decision.anomalies
    fields: dict[str, Any] = {
        "score": decision.score,
        "scores": decision.scores,
        "p_values": decision.p_values,
        "anomalies": decision.anomalies,
        "threshold": decision.threshold,
        "calibration_rows": decision.calibration_rows,
        "p_value_floor": decision.p_value_floor,
    }
    if decision.warnings:
        fields["warnings"] = list(decision.warnings)
    return Answer(records, None, fields)


async def _sample(work: Work[schemas.SampleOptions]) -> Answer:
    options = work.options
    seed = secrets.randbelow(schemas.MAX_SEED + 1) if options.seed is None else options.seed
    drawn = await work.autoencoder.sample(
        options.count,
        seed=seed,
        context=work.context,
        temperature=options.temperature,
        prior=options.prior,
        conditions=work.conditions,
    )
    return Answer(
        drawn.samples,
        "samples",
        {"samples": drawn.samples, "codes": drawn.codes, "seed": drawn.seed},
        ((b"x-seed", str(drawn.seed).encode()),),
    )


def row_count(options: schemas.CallOptions, rows: FloatArray, max_rows: int) -> int:
    """Count the rows that a request is about: those it brings, or those it asks for.

    Raises:
        TooManyRows: It asks for more than the limit.
    """
    if not isinstance(options, schemas.SampleOptions):
        return len(rows)
    if options.count > max_rows:
        raise TooManyRows(f"more rows were asked for than the limit of {max_rows}")
    return options.count


_INPUTS = (schemas.RowOptions, schemas.InputsRequest)
_CODES = (schemas.RowOptions, schemas.CodesRequest)
_SCORED = (schemas.AnomalyScoreOptions, schemas.AnomalyScoreRequest)
_DRAWN = (schemas.SampleOptions, schemas.SampleRequest)

CALLS: dict[str, Call[Any]] = {
    call.path: call
    for call in (
        Call("encode", "inputs", *_INPUTS, schemas.EncodeAnswer, False, _encode,
             "Turn rows into codes"),
        Call("decode", "codes", *_CODES, schemas.DecodeAnswer, True, _decode,
             "Turn codes into rows"),
        Call("reconstruct", "inputs", *_INPUTS, schemas.ReconstructAnswer, True, _reconstruct,
             "Encode rows and decode them again"),
        Call("denoise", "inputs", *_INPUTS, schemas.DenoiseAnswer, True, _denoise,
             "Take the noise out of rows"),
        Call("anomaly-score", "inputs", *_SCORED, schemas.AnomalyScoreAnswer, False,
             _anomaly_score, "Score rows and judge them at a stated error rate"),
        Call("sample", None, *_DRAWN, schemas.SampleAnswer, True, _sample,
             "Draw new rows"),
    )
}  # fmt: skip
"""The calls by path."""
