"""From what a call found to the bytes of its answer."""

from typing import Any

from service.api.calls import Answer
from service.api.media_types import JSON, NPY
from service.api.payloads.image import write_image
from service.api.payloads.json import write_json
from service.api.payloads.npy import write_npy
from service.api.payloads.rows import rows_to_lists
from service.inference.loading import LoadedModel

Headers = list[tuple[bytes, bytes]]


def write_answer(
    answer: Answer, model: LoadedModel, ids: list[str | int] | None, media_type: str
) -> tuple[bytes, Headers]:
    """Write an answer.

    Args:
        answer: What the call found.
        model: Who answers.
        ids: The request's ids, passed through in JSON.
        media_type: What to write, one that ``writable_types`` offered.

    Returns:
        The body and the headers that belong to it.
    """
    headers: Headers = [
        (b"content-type", media_type.encode()),
        (b"x-model", model.name.encode()),
        (b"x-model-version", str(model.version).encode()),
        *answer.headers,
    ]
    if media_type == JSON:
        body = write_json(_json_fields(answer, model, ids))
    elif media_type == NPY:
        body = write_npy(answer.main)
    else:
        body = write_image(answer.main, media_type)
    return body, headers


def _json_fields(answer: Answer, model: LoadedModel, ids: list[str | int] | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": model.name, "version": model.version}
    if ids is not None:
        fields["ids"] = ids
    columns = model.manifest.input.columns
    if answer.rows_field and columns and any(column.type != "numeric" for column in columns):
        return fields | answer.fields | {answer.rows_field: rows_to_lists(answer.main, columns)}
    return fields | answer.fields
