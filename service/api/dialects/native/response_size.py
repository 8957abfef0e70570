"""How many bytes a response will take, before a graph runs for it."""

from service.api.dialects.dialect import ParsedRequest
from service.api.dialects.native.calls import Call
from service.api.dialects.native.schemas import CallFields, RowFields
from service.api.media_types import JSON
from service.errors import ResponseTooLarge

_FLOAT_BYTES = 4
# A text of an exact float32 with its comma: 784 numbers of a picture take 16.1 bytes each.
_EXACT_TEXT_BYTES = 17
_TEXT_BYTES_BESIDE_DECIMALS = 4  # sign, digit, point and comma of a number in [0, 1]


def expected_bytes(
    call: Call, request: ParsedRequest, media_type: str, max_response_bytes: int
) -> int:
    """Estimate how many bytes a result and its response will take, by rows and media type.

    Args:
        call: The call.
        request: The request.
        media_type: Of the response.
        max_response_bytes: Bytes of one response at most.

    Raises:
        ResponseTooLarge: The response would have more.
    """
    caches = request.model.caches
    values = caches.get(call)
    if values is None:
        values = caches[call] = call.values_per_row(request.model.manifest)
    values *= request.rows
    written = values * (_FLOAT_BYTES if media_type != JSON else _text_bytes(request.options))
    if written > max_response_bytes:
        raise ResponseTooLarge(
            f"the response to {request.rows} rows would have about {written} bytes; the limit is"
            f" {max_response_bytes}"
        )
    return written + values * _FLOAT_BYTES


def _text_bytes(options: CallFields) -> int:
    decimals = options.decimals if isinstance(options, RowFields) else None
    return _EXACT_TEXT_BYTES if decimals is None else decimals + _TEXT_BYTES_BESIDE_DECIMALS
