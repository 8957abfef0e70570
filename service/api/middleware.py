"""What every request has, whoever answers it: an id, a log line, its count, no bare failure."""

import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from service.api.problems import INTERNAL_ERROR, problem_body, problem_headers
from service.log_config import request_id
from service.metrics.recorder import Recorder, Stages

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_SERVER_ERROR = 500
OTHER_PATHS = "other"
"""What requests are counted as whose path is none of the service's."""

_log = logging.getLogger(__name__)
_access_log = logging.getLogger("service.access")


class Observation:
    """One request from its first byte to its answer.

    Attributes:
        request_id: The client's ``X-Request-Id``, or a new one.
        started: ``time.perf_counter()`` when the request came.
        headers: The request's headers; of repeated ones the last.
        body_asked_for: Whether its body has been read, or the client told to send it.
        call: What it is counted as.
        model: Name of the model it means, as soon as that is known.
        version: The model's version.
    """

    __slots__ = (
        "_access_log",
        "_method",
        "_path",
        "_recorder",
        "body_asked_for",
        "call",
        "headers",
        "model",
        "request_id",
        "started",
        "version",
    )

    def __init__(
        self, scope: Scope, recorder: Recorder, call: str = OTHER_PATHS, *, access_log: bool
    ) -> None:
        """Begin to observe a request.

        Args:
            scope: The ASGI scope.
            recorder: Counts it when it is answered.
            call: What it is counted as: never what its client wrote.
            access_log: Whether to log a line when it is answered.
        """
        self.started = time.perf_counter()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            self.request_id = given.decode()
        else:  # no secret: it only has to be another one each time
            self.request_id = f"{random.getrandbits(128):032x}"
        request_id.set(self.request_id)
        self.body_asked_for = False
        self.call = call
        self.model = ""
        self.version: int | None = None
        self._recorder = recorder
        self._access_log = access_log
        self._method: str = scope["method"]
        self._path: str = scope["path"]

    @property
    def answer_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that every answer carries."""
        return [(b"x-request-id", self.request_id.encode())]

    def answered(self, rows: int, stages: Stages) -> None:
        """Finish an inference request that was answered with what it asked for.

        Args:
            rows: Rows it brought, or asked for.
            stages: Seconds it spent in each stage.
        """
        meter = self._recorder.call(self.call, self.model, self.version)
        seconds = time.perf_counter() - self.started
        meter.answered(200, seconds)
        meter.worked(stages, rows)
        if self._access_log:
            self._log_line(200, seconds, {"model": self.model, "rows": rows})

    def finish(self, status: int, problem: str | None = None) -> None:
        """Finish a request: count it and log its line.

        Args:
            status: HTTP status; 499 when the client left before its answer.
            problem: Last part of the type of the problem that it was answered with.
        """
        meter = self._recorder.call(self.call, self.model, self.version)
        seconds = time.perf_counter() - self.started
        meter.answered(status, seconds)
        if problem is not None:
            meter.refused(problem)
        if self._access_log:
            self._log_line(status, seconds, {} if problem is None else {"problem": problem})

    def _log_line(self, status: int, seconds: float, details: dict[str, str | int]) -> None:
        level = logging.ERROR if status >= _SERVER_ERROR else logging.INFO
        if not _access_log.isEnabledFor(level):
            return
        facts: dict[str, Any] = {
            "method": self._method,
            "path": self._path,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
            **details,
        }
        _access_log.log(level, "request", extra=facts)


class ObservationMiddleware:
    """Gives every request outside the hot path its id, its log line and its last resort."""

    def __init__(self, app: Application, recorder: Recorder, *, access_log: bool) -> None:
        """Wrap an application.

        Args:
            app: What answers.
            recorder: Counts requests.
            access_log: Whether to log a line per request.
        """
        self._app = app
        self._recorder = recorder
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        observation = Observation(scope, self._recorder, access_log=self._access_log)
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *observation.answer_headers]
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except Exception:  # noqa: BLE001  # whatever fails, the client gets an answer
            _log.exception("request failed")
            if not status:
                status = INTERNAL_ERROR.status
                body = problem_body(INTERNAL_ERROR, INTERNAL_ERROR.title, observation.request_id)
                headers = [*problem_headers(INTERNAL_ERROR), *observation.answer_headers]
                await send_response(send, status, headers, body)
        observation.call = getattr(scope.get("route"), "path", OTHER_PATHS)
        observation.finish(status)


async def send_response(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes | memoryview
) -> None:
    """Send a whole answer.

    Args:
        send: The ASGI channel.
        status: HTTP status.
        headers: Everything but Content-Length.
        body: The body.
    """
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
