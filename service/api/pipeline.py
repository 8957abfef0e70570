"""The steps that answer the six inference calls, whichever way a request came.

Admit, understand, queue and run, write, observe: each is one step below, in the order in which a
request takes them. Nothing here knows how bytes come and go; ``connection.py`` brings them straight
from the socket, ``asgi.py`` through the protocol that frameworks and other servers speak.
"""

import asyncio
import logging
import time
from functools import lru_cache
from typing import Any, NamedTuple

from service.api.authentication import Authenticator
from service.api.dialects.native.calls import Call
from service.api.dialects.native.requests import understand
from service.api.dialects.native.responses import Body, Headers, write_answer
from service.api.media_types import body_type, choose_type, writable_types
from service.api.problems import (
    HEAD_TOO_LARGE,
    METHOD_NOT_ALLOWED,
    Problem,
    detail_of,
    problem_body,
    problem_for,
    problem_headers,
)
from service.api.request_record import RequestRecord
from service.catalog.reconciler import Reconciler
from service.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    Draining,
    FieldError,
    RequestError,
    UnsupportedMediaType,
)
from service.inference.graphs import RequestContext
from service.metrics.recorder import STAGES, Recorder, Stages
from service.settings import Settings

_SERVER_TIMING = ", ".join(f"{name};dur=%.3f" for name in STAGES).encode()
_CLIENT_CLOSED_REQUEST = 499  # for the log alone: nobody is there to read it

_log = logging.getLogger(__name__)


class ClientGoneError(Exception):
    """The client closed the connection before its answer."""


class Head:
    """What a request says before its body.

    Attributes:
        call: The call that it means.
        query_string: The URL's query, undecoded.
        headers: Its headers, their names in lower case; of repeated ones the last.
        media_type: Of its body, once it has been admitted.
    """

    __slots__ = ("call", "headers", "media_type", "query_string")

    def __init__(self, call: Call[Any], query_string: bytes, headers: dict[bytes, bytes]) -> None:
        """Take what was parsed; nothing is looked at before ``Pipeline.admit``."""
        self.call = call
        self.query_string = query_string
        self.headers = headers
        self.media_type: str | None = None


class Reply(NamedTuple):
    """An answer to send: every header but those of its length and its connection."""

    status: int
    headers: Headers
    body: Body


class Pipeline:
    """What every way in has in common."""

    def __init__(
        self,
        reconciler: Reconciler,
        settings: Settings,
        authenticator: Authenticator,
        recorder: Recorder,
    ) -> None:
        """Prepare to answer.

        Args:
            reconciler: Holds the catalog of models.
            settings: Limits, and whether to log requests.
            authenticator: Decides who may call.
            recorder: Counts requests.
        """
        self._reconciler = reconciler
        self._authenticator = authenticator
        self._recorder = recorder
        self._access_log = settings.access_log
        self._max_rows = settings.max_rows
        self._max_body_bytes = settings.max_body_bytes
        self._timeout_seconds = settings.request_timeout_seconds

    def observe(self, call: Call[Any], method: str, headers: dict[bytes, bytes]) -> RequestRecord:
        """Begin to observe a request whose head has come."""
        return RequestRecord(
            method, call.path, headers, self._recorder, call.capability, access_log=self._access_log
        )

    def context(self) -> RequestContext:
        """Say when a request that begins now is out of time."""
        return RequestContext(time.monotonic() + self._timeout_seconds)

    def admit(self, head: Head, record: RequestRecord) -> None:
        """Decide by its head whether a request's body is worth reading.

        Raises:
            RequestError: It may not call, or its body is too large or of a kind that is not read.
        """
        self._authenticator.authenticate(head.headers)
        if head.media_type is None:
            head.media_type = self._media_type(head.headers)
        record.body_asked_for = True

    def _media_type(self, headers: dict[bytes, bytes]) -> str:
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedMediaType("compressed bodies are not read; send it as it is")
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit():
            self.limit(int(declared))
        content_type = headers.get(b"content-type")
        return body_type(None if content_type is None else content_type.decode("latin-1"))

    def limit(self, body_bytes: int) -> None:
        """Refuse a body of which so many bytes are known.

        Raises:
            BodyTooLarge: They are too many.
        """
        if body_bytes > self._max_body_bytes:
            raise BodyTooLarge(f"the limit is {self._max_body_bytes} bytes")

    async def work(
        self, head: Head, body: bytes, context: RequestContext, record: RequestRecord
    ) -> Reply:
        """Answer a request that has come whole.

        Args:
            head: The request's head, which has been admitted.
            body: The body.
            context: The request's context.
            record: The request's record, finished when this returns.

        Raises:
            RequestError: One of its kinds; what else is raised is a fault of ours. ``refuse``
                turns either into an answer.
        """
        call = head.call
        assert head.media_type is not None  # noqa: S101  # it has been admitted
        request = understand(
            call,
            head.media_type,
            head.query_string,
            body,
            self._reconciler.catalog,
            max_rows=self._max_rows,
            context=context,
        )
        with request.model.in_use:
            record.model, record.version = request.model.name, request.model.version
            is_image = call.answers_rows and request.model.manifest.input.kind == "image"
            wanted = _negotiate(head.headers.get(b"accept"), is_image=is_image)
            read_seconds = time.perf_counter() - record.started
            answer = await call.run(request.work)
            started = time.perf_counter()
            content, headers = write_answer(answer, request.model, request.work.options, wanted)
            write_seconds = time.perf_counter() - started
            stages = Stages(
                read_seconds, context.queue_seconds, context.inference_seconds, write_seconds
            )
            headers += (_server_timing(stages), *record.answer_headers)
            record.record_success(request.rows, stages)
        return Reply(200, headers, content)

    def refuse(self, record: RequestRecord, error: BaseException) -> Reply:
        """Finish a request that failed, and say why in an answer.

        Args:
            record: The request's record.
            error: What ``admit``, ``limit`` or ``work`` raised; ``ClientGoneError`` when there is
                nobody to answer; ``CancelledError`` when the server stops, and has waited for open
                requests as long as it is willing to.
        """
        if isinstance(error, ClientGoneError):
            record.record_failure(_CLIENT_CLOSED_REQUEST)
            return Reply(_CLIENT_CLOSED_REQUEST, [], b"")
        if isinstance(error, asyncio.CancelledError):
            error = Draining("the service stopped before the answer was ready")
        if not isinstance(error, RequestError):
            facts = {"request_id": record.request_id}
            _log.error("inference call failed", exc_info=error, extra=facts)
        problem = problem_for(error)
        field_errors = error.field_errors if isinstance(error, RequestError) else ()
        return _problem_reply(record, problem, detail_of(error, problem), field_errors)

    def refuse_method(self, call: Call[Any], record: RequestRecord) -> Reply:
        """Finish a request of another method than POST."""
        reply = _problem_reply(record, METHOD_NOT_ALLOWED, f"{call.path} takes POST")
        reply.headers.append((b"allow", b"POST"))
        return reply

    def refuse_head(self, limit_bytes: int) -> Reply:
        """Finish a request whose head does not end within a limit."""
        record = RequestRecord("", "", {}, self._recorder, access_log=self._access_log)
        return _problem_reply(record, HEAD_TOO_LARGE, f"the limit is {limit_bytes} bytes")


def out_of_time(*, body_has_come: bool) -> DeadlineExceeded:
    """Return what interrupts a request whose deadline has passed."""
    unfinished = "the model worked" if body_has_come else "the body was on its way"
    return DeadlineExceeded(f"the time limit passed while {unfinished}")


@lru_cache(maxsize=256)
def _negotiate(accept: bytes | None, *, is_image: bool) -> str:
    return choose_type(
        None if accept is None else accept.decode("latin-1"), writable_types(is_image=is_image)
    )


def _server_timing(stages: Stages) -> tuple[bytes, bytes]:
    return b"server-timing", _SERVER_TIMING % tuple([1000 * seconds for seconds in stages])


def _problem_reply(
    record: RequestRecord, problem: Problem, detail: str, field_errors: tuple[FieldError, ...] = ()
) -> Reply:
    body = problem_body(problem, detail, record.request_id, field_errors)
    headers = [*problem_headers(problem), *record.answer_headers]
    # The server reads and drops what is left of a body: a client that is still sending would see
    # a closed connection instead of this answer. One that waits to be asked may never send it.
    if b"expect" in record.headers and not record.body_asked_for:
        headers.append((b"connection", b"close"))
    record.record_failure(problem.status, problem.slug)
    return Reply(problem.status, headers, body)
