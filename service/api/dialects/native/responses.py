"""From the result of an operation to the bytes of its response."""

from collections.abc import Mapping
from typing import Any

from service.api.dialects.dialect import Body, ParsedRequest
from service.api.dialects.native.calls import Call
from service.api.dialects.native.schemas import CallFields, RowFields
from service.api.media_types import JSON
from service.api.problems import Headers
from service.catalog.loading import LoadedModel
from service.formats.array_formats import ARRAY_FORMATS
from service.formats.json.writing import write_json
from service.formats.row_lists import rows_to_lists
from service.off_loop import require_thread
from service.operations.operation import Result

# Values that are written on the event loop at most, in 5 to 10 ms.
_MAX_TYPED_VALUES = 16_384
_MAX_PICTURE_VALUES = 32_768
_MAX_ARRAY_VALUES = 2_097_152


def write_response(call: Call, request: ParsedRequest, result: Result) -> tuple[Body, Headers]:
    """Write a result in the media type that was chosen for it.

    Args:
        call: The call.
        request: The request; JSON responses pass its ids through and round to its decimals.
        result: What the operation found.

    Returns:
        The body and the headers that belong to it.

    Raises:
        CostlyWork: It has to be written on a thread, and this is an event loop's.
    """
    fields = result.fields()
    media_type = request.response_type
    headers: Headers = [*_model_headers(request.model, media_type)]
    for name, field in call.headers:
        headers.append((name, str(fields[field]).encode()))
    if media_type == JSON:
        return _write_json(call, request.model, request.options, fields), headers
    main = fields[call.main] if call.record is None else call.record(fields)
    array_format = ARRAY_FORMATS[media_type]
    max_inline = _MAX_PICTURE_VALUES if array_format.pictures_only else _MAX_ARRAY_VALUES
    if main.size > max_inline:
        require_thread(main.nbytes)
    for header in array_format.headers:
        headers.append((header.encoded_name, header.value(main)))
    return array_format.write(main), headers


def _model_headers(model: LoadedModel, media_type: str) -> Headers:
    key = ("headers", media_type)
    if key not in model.caches:
        model.caches[key] = [
            (b"content-type", media_type.encode()),
            (b"x-model", model.name.encode()),
            (b"x-model-version", str(model.version).encode()),
        ]
    return model.caches[key]


def _write_json(
    call: Call, model: LoadedModel, options: CallFields, fields: Mapping[str, Any]
) -> Body:
    document: dict[str, Any] = {"model": model.name, "version": model.version}
    if options.ids is not None:
        document["ids"] = options.ids
    document |= fields
    decimals = options.decimals if isinstance(options, RowFields) else None
    columns = model.manifest.input.columns
    if call.returns_rows and columns and any(column.type != "numeric" for column in columns):
        if fields[call.main].size > _MAX_TYPED_VALUES:
            require_thread(fields[call.main].nbytes)
        document[call.main] = rows_to_lists(fields[call.main], columns, decimals)
    return write_json(document, decimals)
