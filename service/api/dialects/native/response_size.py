"""How many bytes a response will take, before a graph runs for it."""

from service.api.dialects.dialect import ParsedRequest
from service.api.dialects.native.calls import Call
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
    decimals = getattr(request.options, "decimals", None)
    caches, key = request.model.caches, (call, media_type, decimals)
    if key not in caches:
        values = call.values_per_row(request.model.manifest)
        caches[key] = values * _FLOAT_BYTES, values * _bytes_per_value(media_type, decimals)
    result_bytes, response_bytes = caches[key]
    if request.rows * response_bytes > max_response_bytes:
        raise ResponseTooLarge(
            f"the response to {request.rows} rows would have about"
            f" {request.rows * response_bytes} bytes; the limit is {max_response_bytes}"
        )
    return request.rows * (result_bytes + response_bytes)


def _bytes_per_value(media_type: str, decimals: int | None) -> int:
    if media_type != JSON:
        return _FLOAT_BYTES
    return _EXACT_TEXT_BYTES if decimals is None else decimals + _TEXT_BYTES_BESIDE_DECIMALS
