"""From the result of an operation to the bytes of its response."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.api.content_codings import choose_coding
from service.api.dialects.dialect import Body, ParsedRequest
from service.api.dialects.native.calls import Call
from service.api.dialects.native.schemas import CallFields, RowFields
from service.api.media_types import JSON
from service.api.problems import Headers
from service.catalog.loading import LoadedModel
from service.formats.array_formats import ARRAY_FORMATS
from service.formats.compression import COMPRESSIONS, MIN_COMPRESSED_BYTES
from service.formats.json.writing import write_json
from service.formats.row_lists import rows_to_lists
from service.off_loop import require_thread
from service.operations.operation import Result

# Values that are written on the event loop at most, in 5 to 10 ms.
_MAX_TYPED_VALUES = 16_384
_MAX_PICTURE_VALUES = 32_768
_MAX_ARRAY_VALUES = 2_097_152
_MAX_COMPRESSED_BYTES = 512 * 1024  # gzip takes 5 ms a megabyte
_MAX_WARNING_BYTES = 1000


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
    if request.accept_encoding and request.expected_bytes > _MAX_COMPRESSED_BYTES:
        require_thread(request.expected_bytes)
    fields = result.fields()
    media_type = request.response_type
    headers: Headers = [*_model_headers(request.model, media_type)]
    for name, field in call.headers:
        headers.append((name, str(fields[field]).encode()))
    if media_type == JSON:
        body = _write_json(call, request.model, request.options, fields)
    else:
        main = fields[call.main] if call.record is None else call.record(fields)
        array_format = ARRAY_FORMATS[media_type]
        max_inline = _MAX_PICTURE_VALUES if array_format.pictures_only else _MAX_ARRAY_VALUES
        if main.size > max_inline:
            require_thread(main.nbytes)
        for header in array_format.headers:
            headers.append((header.encoded_name, header.value(main)))
        if "warnings" in fields:
            headers.append((b"x-warnings", _warnings_value(fields["warnings"])))
        body = array_format.write(main)
        if array_format.is_compressed:
            return body, headers
    if len(body) < MIN_COMPRESSED_BYTES:
        return body, headers
    return _compress(body, request, headers)


def _compress(body: Body, request: ParsedRequest, headers: Headers) -> tuple[Body, Headers]:
    """Compress a large response if its client lets it be, and say that it may choose."""
    is_text = request.response_type == JSON
    coding = choose_coding(request.accept_encoding, is_text=is_text)
    headers.append((b"vary", b"accept-encoding"))
    if coding is None or (compress := COMPRESSIONS[coding].compress) is None:
        return body, headers
    headers.append((b"content-encoding", coding.encode()))
    return compress(body), headers


def _warnings_value(warnings: Sequence[str]) -> bytes:
    """Write sentences as the value of a header: visible ASCII and blanks, within a limit."""
    text = "; ".join(warnings).encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in text)[:_MAX_WARNING_BYTES].encode()


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
