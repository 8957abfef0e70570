"""Which media types a call reads and writes, and which one a client wants."""

from functools import lru_cache

from service.errors import NotAcceptable, UnsupportedMediaType

JSON = "application/json"
NPY = "application/x-npy"
RAW = "application/octet-stream"
PNG = "image/png"
JPEG = "image/jpeg"
PICTURES = (PNG, JPEG)


def readable_types(*, takes_rows: bool, is_image: bool) -> tuple[str, ...]:
    """Media types that a request body may have."""
    if not takes_rows:
        return (JSON,)
    return (JSON, NPY, RAW, *PICTURES) if is_image else (JSON, NPY, RAW)


def writable_types(*, is_image: bool) -> tuple[str, ...]:
    """Media types that an answer may have, the default first."""
    return (JSON, NPY, RAW, *PICTURES) if is_image else (JSON, NPY, RAW)


@lru_cache(maxsize=256)
def body_type(content_type: str | None) -> str:
    """Return the media type of a body; JSON when nothing is stated.

    Raises:
        UnsupportedMediaType: One that no call reads.
    """
    if not content_type or not content_type.strip():
        return JSON
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    # What curl --data sends unless told otherwise; the body decides whether it is JSON.
    if media_type == "application/x-www-form-urlencoded":
        return JSON
    if media_type not in (JSON, NPY, RAW, *PICTURES):
        raise UnsupportedMediaType(
            f"bodies of this media type are not read; send {JSON}, {NPY}, {RAW}, {PNG} or {JPEG}"
        )
    for parameter in parameters.lower().split(";"):
        name, _, value = parameter.partition("=")
        is_charset = media_type == JSON and name.strip() == "charset"
        if is_charset and value.strip().strip('"') not in ("utf-8", "utf8"):
            raise UnsupportedMediaType("JSON is read as UTF-8 only")
    return media_type


@lru_cache(maxsize=256)
def choose_response_type(accept: bytes | None, *, is_image: bool) -> str:
    """Choose the media type of a response by the undecoded ``Accept``; see ``choose_type``."""
    return choose_type(
        None if accept is None else accept.decode("latin-1"), writable_types(is_image=is_image)
    )


@lru_cache(maxsize=256)
def choose_type(accept: str | None, offers: tuple[str, ...]) -> str:
    """Choose what to write, by the client's ``Accept``.

    Args:
        accept: The header; everything is accepted when it is missing.
        offers: What can be written, the preferred first.

    Raises:
        NotAcceptable: The client accepts none of them.

    Source: RFC 9110, section 12.5.1: the most specific range that matches a type decides its
        quality; among equals the service's preference decides.
    """
    if accept is None or not accept.strip():
        return offers[0]
    ranges = [_parse_range(item) for item in accept.split(",") if item.strip()]
    best = max(offers, key=lambda offer: _quality(offer, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(f"this answer can be written as {', '.join(offers)}")
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
