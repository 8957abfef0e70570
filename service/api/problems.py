"""The table from exception to HTTP problem (RFC 9457), and nothing else that knows a status."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import orjson

from service import errors

PROBLEM_MEDIA_TYPE = "application/problem+json"
PROBLEM_RESPONSE: dict[str, Any] = {
    "description": "A problem",
    "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
}
"""OpenAPI's description of every error response."""
RETRY_AFTER_SECONDS = 1
_MAX_RETRY_AFTER = 60

Headers = list[tuple[bytes, bytes]]
_MAX_ERRORS = 10
MISTAKEN_REQUESTS: frozenset[type[errors.LatentServeError]] = frozenset({
    errors.CapabilityMissing, errors.InvalidInput, errors.MalformedBody, errors.MethodNotAllowed,
    errors.ModelNotFound, errors.ModelRequired, errors.PathNotFound, errors.UnsupportedMediaType,
    errors.VersionNotFound,
})  # fmt: skip
"""Errors that an example of a request that works helps with."""


@dataclass(frozen=True)
class Problem:
    """How one kind of error looks over HTTP.

    Attributes:
        status: HTTP status.
        slug: Last part of the problem's ``type``: an anchor of ``/errors``.
        title: What happened, the same for every occurrence.
        advice: What a client can do about it.
        retry: Whether the same request may succeed soon; sends ``Retry-After``.
        headers: Makes further headers of the error, such as ``Allow``.
        root_path: Path prefix under which the client sees the service.
    """

    status: int
    slug: str
    title: str
    advice: str
    retry: bool = False
    headers: "Callable[[Any], Headers] | None" = None
    root_path: str = ""

    @property
    def type(self) -> str:
        """Relative URI of the problem's documentation."""
        return f"{self.root_path}/errors#{self.slug}"

    def under(self, root_path: str) -> "Problem":
        """Return it with a type that leads to its documentation from behind a path prefix."""
        return replace(self, root_path=root_path) if root_path else self


PROBLEMS: dict[type[errors.LatentServeError], Problem] = {
    errors.PathNotFound: Problem(
        404, "not-found", "There is no such path", "GET /docs lists the paths."
    ),
    errors.MethodNotAllowed: Problem(
        405, "method-not-allowed", "The path does not take this method", "Read the Allow header.",
        headers=lambda error: [(b"allow", error.allowed.encode())],
    ),
    errors.HostNotAllowed: Problem(
        421, "host-not-allowed", "The service does not answer for this host",
        "Ask by a name it answers for, or add this one to LATENTSERVE_ALLOWED_HOSTS.",
    ),
    errors.CrossSiteRequest: Problem(
        403, "cross-site-request", "Pages of this origin may not send requests",
        "Add the page's origin to LATENTSERVE_CORS_ORIGINS.",
    ),
    errors.HeadTooLarge: Problem(
        431, "head-too-large", "The request's head has too many bytes",
        "Send fewer or shorter headers, and options in the body.",
    ),
    errors.UriTooLong: Problem(
        414, "uri-too-long", "The request line has too many bytes",
        "Send options and rows in the body.",
    ),
    errors.MalformedHead: Problem(
        400, "malformed-head", "The request's head cannot be read",
        "Send the head of an HTTP/1.1 request; the detail says what is wrong with this one.",
    ),
    errors.UnsupportedTransferEncoding: Problem(
        501, "unsupported-transfer-encoding", "The body's framing is not supported",
        "Send the body with Content-Length, or with Transfer-Encoding: chunked.",
    ),
    errors.TransferTooSlow: Problem(
        408, "transfer-too-slow", "The request came too slowly",
        "Send the request at once, or raise LATENTSERVE_HEAD_TIMEOUT_SECONDS or"
        " LATENTSERVE_STALL_TIMEOUT_SECONDS.",
    ),
    errors.MalformedBody: Problem(
        400, "malformed-body", "The body cannot be read",
        "Send a body that is what its Content-Type says.",
    ),
    errors.ModelNotFound: Problem(
        404, "model-not-found", "There is no such model", "GET /models lists the models."
    ),
    errors.VersionNotFound: Problem(
        404, "version-not-found", "There is no such version of the model",
        "GET /models/{name} lists the versions.",
    ),
    errors.ReportNotFound: Problem(
        404, "report-not-found", "The model has no report",
        "The bundle was published without a report page; nothing can be done over HTTP.",
    ),
    errors.NotAcceptable: Problem(
        406, "not-acceptable", "No media type the client accepts can be written",
        "Accept one of the media types that the detail lists.",
    ),
    errors.CapabilityMissing: Problem(
        409, "capability-missing", "The model does not serve this call",
        "GET /models/{name} lists the calls of each model.",
    ),
    errors.EmptyCalibration: Problem(
        409, "empty-calibration", "The model has no calibration scores",
        "Publish the bundle with calibration rows.",
    ),
    errors.ReportGone: Problem(
        410, "report-gone", "The model's report is gone",
        "Its file was removed or changed since the model was loaded; the operator's log says how.",
    ),
    errors.BodyTooLarge: Problem(
        413, "body-too-large", "The body has too many bytes",
        "Send fewer rows a request, or a denser media type, or raise LATENTSERVE_MAX_BODY_BYTES.",
    ),
    errors.TooManyRows: Problem(
        413, "too-many-rows", "The request has too many rows",
        "Send fewer rows a request, or raise LATENTSERVE_MAX_ROWS.",
    ),
    errors.ResponseTooLarge: Problem(
        413, "response-too-large", "The response would have too many bytes",
        "Ask for fewer rows, for fewer decimals or for a binary media type, or raise"
        " LATENTSERVE_MAX_RESPONSE_BYTES.",
    ),
    errors.UnsupportedMediaType: Problem(
        415, "unsupported-media-type", "The body's media type cannot be read",
        "Send one of the media types that the detail lists.",
    ),
    errors.UnsupportedContentCoding: Problem(
        415, "unsupported-content-coding", "The body's Content-Encoding cannot be read",
        "Send one of the codings that Accept-Encoding lists, or none.",
        headers=lambda error: [(b"accept-encoding", ", ".join(error.supported).encode())],
    ),
    errors.InvalidInput: Problem(
        422, "invalid-input", "A shape, range, type or field is wrong",
        "Read errors: each names a place in the request and what is expected there.",
    ),
    errors.ModelRequired: Problem(
        422, "model-required", "The request names no model",
        "Name one in the field or query parameter model, or set LATENTSERVE_DEFAULT_MODEL.",
    ),
    errors.NonFiniteResult: Problem(
        422, "non-finite-result", "Rows overflow inside the model",
        "The rows are finite but far outside what the model was trained on; check their units.",
    ),
    errors.InferenceFailed: Problem(
        500, "internal-error", "The service failed", "Report the request id to the operator."
    ),
    errors.ModelUnavailable: Problem(
        503, "model-unavailable", "The model is not ready",
        "Wait while it loads; GET /models/{name} gives the reason when its bundle was refused.",
        retry=True,
    ),
    errors.QueueFull: Problem(
        503, "queue-full", "Too much work waits already",
        "Try again after the seconds in Retry-After, when what waits now should be done.",
        retry=True,
    ),
    errors.MemoryFull: Problem(
        503, "memory-full", "Too many bytes are open already",
        "Try again later; the limit is LATENTSERVE_MAX_OPEN_BYTES.", retry=True,
    ),
    errors.TooManyConnections: Problem(
        503, "too-many-connections", "Too many connections are open already",
        "Close what you do not use and try again later; the limit is"
        " LATENTSERVE_MAX_CONNECTIONS.", retry=True,
    ),
    errors.Draining: Problem(
        503, "draining", "The service is stopping", "Try again: another instance will answer.",
        retry=True,
    ),
    errors.DeadlineExceeded: Problem(
        504, "deadline-exceeded", "The time limit passed",
        "Send fewer rows a request, or raise LATENTSERVE_REQUEST_TIMEOUT_SECONDS.",
    ),
}  # fmt: skip
"""One row per error that can reach a client; a subclass without a row takes its parent's."""

INTERNAL_ERROR = PROBLEMS[errors.InferenceFailed]
_FRAMEWORK_PROBLEMS = {
    problem.status: problem
    for problem in (PROBLEMS[errors.PathNotFound], PROBLEMS[errors.MethodNotAllowed])
}


def problem_for(error: BaseException) -> Problem:
    """Look up an error, by its class or the nearest of its parents with a row.

    An error without a row is an error of the service: 500 with a constant text.
    """
    for kind in type(error).__mro__:
        if kind in PROBLEMS:
            return PROBLEMS[kind]
    return INTERNAL_ERROR


def detail_of(error: BaseException, problem: Problem) -> str:
    """Return the sentence for the client: its own for a request error, else a constant."""
    return str(error) if isinstance(error, errors.RequestError) else problem.title


def problem_body(
    problem: Problem,
    detail: str,
    request_id: str,
    field_errors: tuple[errors.FieldError, ...] = (),
    example: Mapping[str, Any] | None = None,
) -> bytes:
    """Write a problem document.

    Args:
        problem: The row of the table.
        detail: What happened this time.
        request_id: The request's id.
        field_errors: Places that are wrong; the first few are written.
        example: A JSON body that works.
    """
    document: dict[str, Any] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "request_id": request_id,
        "errors": [
            {"pointer": error.pointer, "detail": error.detail}
            for error in field_errors[:_MAX_ERRORS]
        ],
    }
    if example is not None:
        document["example"] = example
    return orjson.dumps(document)


def problem_type() -> tuple[bytes, bytes]:
    """Return the header that names the media type of problem documents."""
    return b"content-type", PROBLEM_MEDIA_TYPE.encode()


def problem_headers(problem: Problem, error: BaseException | None = None) -> Headers:
    """Return the headers of a problem, besides that of its media type.

    Args:
        problem: The row of the table.
        error: What happened; the problem may make headers of it.
    """
    headers: Headers = []
    if problem.retry:
        seconds: float = getattr(error, "retry_after_seconds", RETRY_AFTER_SECONDS)
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(min(seconds, _MAX_RETRY_AFTER)))))
    if problem.headers is not None and error is not None:
        headers += problem.headers(error)
    return headers


def framework_problem(status: int) -> Problem:
    """Return the problem for a status that the framework decided on, such as 404 or 405."""
    if status in _FRAMEWORK_PROBLEMS:
        return _FRAMEWORK_PROBLEMS[status]
    phrase = HTTPStatus(status).phrase
    return Problem(status, phrase.lower().replace(" ", "-"), phrase, "")
