"""The table of calls: the operations that have a path of their own, and their fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from service.api.dialects.native import schemas
from service.bundle.manifest import Manifest
from service.operations import table
from service.operations.operation import Operation

_SCORE_RECORD = np.dtype([("score", "<f4"), ("p_value", "<f8"), ("anomaly", "?")])


def _rows_and_codes(manifest: Manifest) -> int:
    return prod(manifest.input.shape) + prod(manifest.code.shape)


def _codes_and_variances(manifest: Manifest) -> int:
    return 2 * prod(manifest.code.shape)


def _score_values(_: Manifest) -> int:
    return len(_SCORE_RECORD.names or ())


@dataclass(frozen=True, eq=False)
class Call:
    """One operation over HTTP.

    Attributes:
        operation: What is done.
        fields: Model of everything that a request carries beside rows.
        request: Model of a whole request, for the documentation.
        response: Model of its response, for the documentation.
        summary: One line for the documentation.
        main: Field of the result that media types without fields hold.
        returns_rows: Whether ``main`` is rows in the client's units, which pictures can show.
        record: Makes one array of several fields, for media types without fields; ``main`` then
            only names it.
        headers: Fields of the result that such media types state in headers, by header.
        values_per_row: Counts the numbers of one row of the result.
    """

    operation: Operation[Any]
    fields: type[schemas.CallFields]
    request: type[BaseModel]
    response: type[BaseModel]
    summary: str
    main: str
    returns_rows: bool = False
    record: Callable[[Mapping[str, Any]], NDArray[Any]] | None = None
    headers: tuple[tuple[bytes, str], ...] = ()
    values_per_row: Callable[[Manifest], int] = _rows_and_codes

    @cached_property
    def path(self) -> str:
        """The call's path."""
        return f"/{self.operation.name}"

    @property
    def rows_field(self) -> str | None:
        """Field of the request that holds rows, if it takes any."""
        return self.operation.takes


def _score_records(fields: Mapping[str, Any]) -> NDArray[Any]:
    records = np.empty(len(fields["scores"]), _SCORE_RECORD)
    records["score"] = fields["scores"]
    records["p_value"] = fields["p_values"]
    records["anomaly"] = fields["anomalies"]
    return records


CALLS: dict[str, Call] = {
    call.path: call
    for call in (
        Call(
            table.ENCODE, schemas.RowFields, schemas.InputsRequest, schemas.EncodeResponse,
            "Turn rows into codes", "codes", values_per_row=_codes_and_variances,
        ),
        Call(
            table.DECODE, schemas.RowFields, schemas.CodesRequest, schemas.DecodeResponse,
            "Turn codes into rows", "outputs", returns_rows=True,
        ),
        Call(
            table.RECONSTRUCT, schemas.RowFields, schemas.InputsRequest,
            schemas.ReconstructResponse,
            "Encode rows and decode them again", "reconstructions",
            returns_rows=True,
        ),
        Call(
            table.DENOISE, schemas.RowFields, schemas.InputsRequest, schemas.DenoiseResponse,
            "Remove noise from rows", "denoised", returns_rows=True,
        ),
        Call(
            table.ANOMALY_SCORE, schemas.AnomalyScoreFields, schemas.AnomalyScoreRequest,
            schemas.AnomalyScoreResponse,
            "Score rows and find anomalies at a stated error rate", "scores",
            record=_score_records,
            values_per_row=_score_values,
        ),
        Call(
            table.SAMPLE, schemas.SampleFields, schemas.SampleRequest, schemas.SampleResponse,
            "Draw new rows", "samples", returns_rows=True,
            headers=((b"x-seed", "seed"),),
        ),
    )
}  # fmt: skip
"""The calls by path."""
