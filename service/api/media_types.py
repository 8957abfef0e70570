"""Content negotiation: which media type a request body has, and which one a response gets.

The media types are JSON and those of the table of array formats, ``service.formats.array_formats``.
"""

from functools import lru_cache

from service.errors import NotAcceptable, UnsupportedMediaType
from service.formats.array_formats import ARRAY_FORMATS
from service.formats.first_bytes import BYTE_ORDER_MARK, kind_of
from service.formats.form import header_parameters

JSON = "application/json"
FORM = "multipart/form-data"
RAW = "application/octet-stream"
# What curl --data sends by default; the body decides what it is.
_URL_FORM = "application/x-www-form-urlencoded"
_JSON_TYPES = ("text/json", "text/plain")  # the second is what fetch sends for a text
_JSON_LINES = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/json-seq",
)
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "application/npy": "application/x-npy",
    "application/x-numpy": "application/x-npy",
    "binary/octet-stream": RAW,
    "text/json": JSON,
}
_TYPE_PARAMETERS = ("type", "dtype", "datatype")
_FLOAT32_NAMES = ("float32", "f4", "<f4")
_BLANKS = b" \t\r\n"


def readable_types(*, takes_rows: bool, is_image: bool) -> tuple[str, ...]:
    """Return the media types that a request body may have.

    Args:
        takes_rows: Whether the call takes rows.
        is_image: Whether those rows are images.
    """
    return (JSON, *_array_types(is_image=is_image), FORM) if takes_rows else (JSON,)


def writable_types(*, is_image: bool) -> tuple[str, ...]:
    """Return the media types that a response may have, the default first.

    Args:
        is_image: Whether its main array is rows of an image model.
    """
    return (JSON, *_array_types(is_image=is_image))


def _array_types(*, is_image: bool) -> list[str]:
    return [
        media_type
        for media_type, array_format in ARRAY_FORMATS.items()
        if is_image or not array_format.pictures_only
    ]


@lru_cache(maxsize=256)
def body_type(content_type: str | None) -> str:
    """Return the media type of a body: JSON unless its ``Content-Type`` states another one.

    Example:
        >>> body_type("Image/JPG; charset=binary")
        'image/jpeg'

    Raises:
        UnsupportedMediaType: A media type that no call reads.
    """
    stated = _stated_type(content_type)
    media_type = JSON if not stated or stated == _URL_FORM else stated
    if media_type in _JSON_LINES:
        raise UnsupportedMediaType(
            "JSON line by line is not read; send one JSON object with all rows in one list"
        )
    if media_type in _JSON_TYPES or media_type.endswith("+json"):
        media_type = JSON
    media_type = _ALIASES.get(media_type, media_type)
    if media_type not in (JSON, FORM) and media_type not in ARRAY_FORMATS:
        *others, last = readable_types(takes_rows=True, is_image=True)
        raise UnsupportedMediaType(
            f"this media type is not supported; send {', '.join(others)} or {last}"
        )
    _check_parameters(media_type, header_parameters(content_type or ""))
    return media_type


def _stated_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _check_parameters(media_type: str, parameters: dict[str, str]) -> None:
    charset = parameters.get("charset", "utf-8").lower()
    if media_type == JSON and charset not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("JSON must be in UTF-8")
    if media_type != RAW:
        return
    for name in _TYPE_PARAMETERS:
        if parameters.get(name, "float32").lower() not in _FLOAT32_NAMES:
            raise UnsupportedMediaType(
                f"{RAW} is read as little-endian float32 and as no other type; send that, or .npy"
            )


def told_by_first_bytes(content_type: str | None, body: bytes) -> tuple[str, bytes]:
    """Say what a body is that was taken for JSON and does not begin as a JSON object.

    Args:
        content_type: The request's; where it says nothing of the body, the body decides.
        body: The body, not empty.

    Returns:
        The media type, and the body without what may stand in front of JSON.

    Raises:
        UnsupportedMediaType: It is a file of a known kind that is not read like this.
    """
    text = body.removeprefix(BYTE_ORDER_MARK).lstrip(_BLANKS)
    if text.startswith((b"{", b"[")) or (kind := kind_of(text)) is None:
        return JSON, text
    if kind.media_type in ARRAY_FORMATS and _stated_type(content_type) in ("", _URL_FORM):
        return kind.media_type, body
    raise UnsupportedMediaType(f"the body is not JSON; it is {kind.name}: {kind.advice}")


@lru_cache(maxsize=256)
def choose_response_type(accept: bytes | None, *, is_image: bool) -> str:
    """Choose the media type of a response by the undecoded ``Accept``; see ``choose_type``."""
    return choose_type(
        None if accept is None else accept.decode("latin-1"), writable_types(is_image=is_image)
    )


@lru_cache(maxsize=256)
def choose_type(accept: str | None, offers: tuple[str, ...]) -> str:
    """Choose the media type of a response by the client's ``Accept``.

    Example:
        >>> choose_type("image/*, application/json;q=0.1", ("application/json", "image/png"))
        'image/png'

    Args:
        accept: The header; everything is accepted when it is missing.
        offers: The media types that can be written, the preferred first.

    Raises:
        NotAcceptable: The client accepts none of them.

    Source: RFC 9110, section 12.5.1: the most specific range that matches a type decides its
        quality; among equals the order of the offers decides.
    """
    if accept is None or not accept.strip():
        return offers[0]
    ranges = [_parse_range(item) for item in accept.split(",") if item.strip()]
    best = max(offers, key=lambda offer: _quality(offer, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(
            f"the response can be written as {', '.join(offers)}; accept one of these"
        )
    return best


def _parse_range(item: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip().lower() for part in item.split(";"))
    media_range = _ALIASES.get(media_range, media_range)
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                quality = 0.0
    return media_range, quality if 0 <= quality <= 1 else 0.0


def _quality(offer: str, ranges: list[tuple[str, float]]) -> float:
    for pattern in (offer, offer.split("/", maxsplit=1)[0] + "/*", "*/*"):
        matching = [quality for media_range, quality in ranges if media_range == pattern]
        if matching:
            return max(matching)
    return 0.0
