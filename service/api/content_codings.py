"""Content codings: how the body of a request is compressed, and how that of a response may be."""

from functools import lru_cache

from service.errors import UnsupportedContentCoding
from service.formats.compression import COMPRESSIONS

Headers = dict[bytes, bytes]

_ALIASES = {"x-gzip": "gzip"}
_MAX_CODINGS = 2
# What a response may have, the preferred one first.
_OFFERS = ("zstd", "gzip")


def is_compressed(headers: Headers) -> bool:
    """Whether a request's body has to be decompressed."""
    return b"content-encoding" in headers


def check_content_encoding(headers: Headers) -> None:
    """Check that a request's body can be decompressed.

    Raises:
        UnsupportedContentCoding: It is compressed in a way that is not read.
    """
    if (value := headers.get(b"content-encoding")) is not None:
        _codings_of(value)


def decompress(headers: Headers, body: bytes, max_bytes: int) -> bytes:
    """Return the body of a request as it was before it was compressed.

    Args:
        headers: The request's.
        body: As it was received; an empty one is never compressed.
        max_bytes: Bytes that a body may have. What would become more is decompressed no further.

    Raises:
        UnsupportedContentCoding: It is compressed in a way that is not read.
        MalformedBody: It is damaged or not complete.
        BodyTooLarge: It would have more bytes.
    """
    for coding in reversed(_codings_of(headers[b"content-encoding"])):
        if body:
            body = COMPRESSIONS[coding].decompress(body, max_bytes)
    return body


@lru_cache(maxsize=64)
def _codings_of(value: bytes) -> tuple[str, ...]:
    """Return the codings in the order in which they were applied."""
    names = [name.strip().lower() for name in value.decode("latin-1").split(",")]
    codings = tuple(_ALIASES.get(name, name) for name in names if name not in ("", "identity"))
    if not COMPRESSIONS.keys() >= set(codings):
        raise UnsupportedContentCoding(
            f"this Content-Encoding is not read; send {', '.join(COMPRESSIONS)} or none",
            tuple(COMPRESSIONS),
        )
    if len(codings) > _MAX_CODINGS:
        raise UnsupportedContentCoding(
            f"the body is compressed {len(codings)} times; at most {_MAX_CODINGS} are read",
            tuple(COMPRESSIONS),
        )
    return codings


@lru_cache(maxsize=256)
def choose_coding(accept_encoding: bytes | None, *, is_text: bool) -> str | None:
    """Choose the coding of a response that is large enough for one.

    Example:
        >>> choose_coding(b"gzip, deflate, br", is_text=True)
        'gzip'

    Args:
        accept_encoding: The request's ``Accept-Encoding``; without it nothing is compressed.
        is_text: Whether the response is text. The bits of numbers have little to take out: gzip
            takes 40 times as long as they take to write, so that only zstd is chosen for them.

    Returns:
        None to send the response as it is.

    Source: RFC 9110, section 12.5.3.
    """
    qualities = _qualities(accept_encoding or b"")
    others = qualities.get("*", 0.0)
    offers = [name for name in _OFFERS if is_text or COMPRESSIONS[name].is_fast]
    best = max(offers, key=lambda name: qualities.get(name, others))
    quality = qualities.get(best, others)
    plain = qualities.get("identity", others if "*" in qualities else None)
    return best if quality > 0 and (plain is None or quality >= plain) else None


def _qualities(accept_encoding: bytes) -> dict[str, float]:
    qualities: dict[str, float] = {}
    for item in accept_encoding.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        name = _ALIASES.get(name, name)
        qualities[name] = max(qualities.get(name, 0.0), quality if 0 <= quality <= 1 else 0.0)
    return qualities
