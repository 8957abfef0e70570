"""Content negotiation: which media type a request body has, and which one a response gets.

The media types are JSON and those of the table of array formats, ``service.formats.array_formats``.
"""

from functools import lru_cache

from service.errors import NotAcceptable, UnsupportedMediaType
from service.formats.array_formats import ARRAY_FORMATS

JSON = "application/json"
# What curl --data sends by default; the body decides whether it is JSON.
_FORM = "application/x-www-form-urlencoded"


def readable_types(*, takes_rows: bool, is_image: bool) -> tuple[str, ...]:
    """Return the media types that a request body may have.

    Args:
        takes_rows: Whether the call takes rows.
        is_image: Whether those rows are images.
    """
    return (JSON, *_array_types(is_image=is_image)) if takes_rows else (JSON,)


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
        >>> body_type("Image/PNG; charset=binary")
        'image/png'

    Raises:
        UnsupportedMediaType: A media type that no call reads.
    """
    media_type = _stated_type(content_type)
    if media_type != JSON and media_type not in ARRAY_FORMATS:
        *others, last = readable_types(takes_rows=True, is_image=True)
        raise UnsupportedMediaType(
            f"this media type is not supported; send {', '.join(others)} or {last}"
        )
    return media_type


def _stated_type(content_type: str | None) -> str:
    if not content_type or not content_type.strip():
        return JSON
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    if media_type == _FORM:
        return JSON
    for parameter in parameters.lower().split(";"):
        name, _, value = parameter.partition("=")
        is_charset = media_type == JSON and name.strip() == "charset"
        if is_charset and value.strip().strip('"') not in ("utf-8", "utf8"):
            raise UnsupportedMediaType("JSON must be in UTF-8")
    return media_type


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
