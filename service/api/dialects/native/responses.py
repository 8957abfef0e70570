"""From what a call found to the bytes of its answer."""

from typing import Any

from service.api.dialects.native.calls import Answer
from service.api.media_types import JSON, NPY, RAW
from service.api.schemas import CallOptions, RowOptions
from service.catalog.loading import LoadedModel
from service.formats.image import write_image
from service.formats.json import write_json
from service.formats.npy import write_npy
from service.formats.raw import raw_shape, write_raw
from service.formats.rows import rows_to_lists

Body = bytes | memoryview
Headers = list[tuple[bytes, bytes]]


def write_answer(
    answer: Answer, model: LoadedModel, options: CallOptions, media_type: str
) -> tuple[Body, Headers]:
    """Write an answer.

    Args:
        answer: What the call found.
        model: Who answers.
        options: The request's; JSON answers pass its ids through and round to its decimals.
        media_type: What to write, one that ``writable_types`` offered.

    Returns:
        The body and the headers that belong to it.
    """
    headers: Headers = [*_headers_of(model, media_type), *answer.headers]
    if media_type == JSON:
        decimals = options.decimals if isinstance(options, RowOptions) else None
        fields = _json_fields(answer, model, options.ids, decimals)
        return write_json(fields, decimals), headers
    if media_type == NPY:
        return write_npy(answer.main), headers
    if media_type == RAW:
        headers.append((b"x-shape", raw_shape(answer.main)))
        return write_raw(answer.main), headers
    return write_image(answer.main, media_type), headers


def _headers_of(model: LoadedModel, media_type: str) -> tuple[tuple[bytes, bytes], ...]:
    key = (_headers_of, media_type)
    if key not in model.caches:
        model.caches[key] = (
            (b"content-type", media_type.encode()),
            (b"x-model", model.name.encode()),
            (b"x-model-version", str(model.version).encode()),
        )
    return model.caches[key]


def _json_fields(
    answer: Answer, model: LoadedModel, ids: list[str | int] | None, decimals: int | None
) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": model.name, "version": model.version}
    if ids is not None:
        fields["ids"] = ids
    columns = model.manifest.input.columns
    if answer.rows_field and columns and any(column.type != "numeric" for column in columns):
        rows = rows_to_lists(answer.main, columns, decimals)
        return fields | answer.fields | {answer.rows_field: rows}
    return fields | answer.fields
