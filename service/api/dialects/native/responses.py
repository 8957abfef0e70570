"""From what a call found to the bytes of its answer."""

from functools import lru_cache
from typing import Any

from service.api.dialects.native.calls import Answer
from service.api.media_types import JSON
from service.api.schemas import CallOptions, RowOptions
from service.catalog.loading import LoadedModel
from service.formats.array_formats import ARRAY_FORMATS
from service.formats.json.writing import write_json
from service.formats.row_lists import rows_to_lists

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
    array_format = ARRAY_FORMATS[media_type]
    for header in array_format.headers:
        headers.append((header.encoded_name, header.value(answer.main)))
    return array_format.write(answer.main), headers


@lru_cache(maxsize=1024)
def _headers_of(model: LoadedModel, media_type: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"content-type", media_type.encode()),
        (b"x-model", model.name.encode()),
        (b"x-model-version", str(model.version).encode()),
    )


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
