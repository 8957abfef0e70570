"""What every request has, whichever part of the service handles it: an id, a log line, a count."""

import logging
import random
import re
import time
from typing import Any

from service.api.policy.request_policy import OPEN_POLICY, RequestPolicy
from service.api.policy.trace_context import trace_facts
from service.api.problems import Headers
from service.metrics.recorder import Recorder, Stages

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_SERVER_ERROR = 500
_UNAVAILABLE = 503
_MAX_LOGGED_PATH = 256
OTHER_PATHS = "other"
"""What requests are counted as whose path is not one of the service's."""

_access_log = logging.getLogger("service.access")


class RequestRecord:
    """One request from its head to its response.

    Attributes:
        headers: Of the request, their names in lower case.
        peer: The other end of its connection, as asyncio and ASGI name it.
        root_path: Path prefix under which its client sees the service; None until that is asked.
        request_id: The client's ``X-Request-Id``, or a new one.
        started: ``time.perf_counter()`` when the request came.
        call: What it is counted as.
        model: Name of the model it means, as soon as that is known.
        version: The model's version.
    """

    __slots__ = (
        "_access_log",
        "_method",
        "_path",
        "_policy",
        "_recorder",
        "call",
        "headers",
        "model",
        "peer",
        "request_id",
        "root_path",
        "started",
        "version",
    )

    def __init__(
        self,
        method: str,
        path: str,
        headers: dict[bytes, bytes],
        recorder: Recorder,
        call: str = OTHER_PATHS,
        *,
        access_log: bool,
        policy: RequestPolicy = OPEN_POLICY,
    ) -> None:
        """Begin to record a request.

        Args:
            method: Of the request.
            path: Of the request, without its query.
            headers: Of the request, their names in lower case.
            recorder: Counts it when its response is ready.
            call: What it is counted as: never what its client wrote.
            access_log: Whether to log a line then.
            policy: Knows what every response carries, and who is behind a proxy.
        """
        self.started = time.perf_counter()
        given = headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            self.request_id = given.decode()
        else:  # not a secret: it only has to differ each time
            self.request_id = f"{random.getrandbits(128):032x}"
        self.call = call
        self.model = ""
        self.version: int | None = None
        self.headers = headers
        self.peer: Any = None
        self.root_path: str | None = None
        self._recorder = recorder
        self._policy = policy
        self._access_log = access_log
        self._method = method
        self._path = path

    @property
    def response_headers(self) -> Headers:
        """Headers that every response carries."""
        headers = [(b"x-request-id", self.request_id.encode())]
        if self._policy.cross_origin.is_any_allowed:
            headers += self._policy.response_headers(self.headers)
        return headers

    def prefix(self) -> str:
        """Return the path prefix under which its client sees the service."""
        if self.root_path is None:
            self.root_path = self._policy.prefix(self.headers, self.peer)
        return self.root_path

    def record_success(self, rows: int, stages: Stages) -> None:
        """Finish an inference request that succeeded.

        Args:
            rows: Rows it brought, or asked for.
            stages: Seconds it spent in each stage.
        """
        meter = self._recorder.call(self.call, self.model, self.version)
        seconds = time.perf_counter() - self.started
        meter.record_request(200, seconds)
        meter.record_stages(stages, rows)
        if self._access_log:
            self._log_line(200, seconds, {"model": self.model, "rows": rows})

    def record_failure(self, status: int, problem: str | None = None) -> None:
        """Finish a request: count it and log its line.

        Args:
            status: HTTP status; 499 when the client left before its response.
            problem: Last part of the type of the problem in its response.
        """
        meter = self._recorder.call(self.call, self.model, self.version)
        seconds = time.perf_counter() - self.started
        meter.record_request(status, seconds)
        if problem is not None:
            meter.record_problem(problem)
        if self._access_log:
            self._log_line(status, seconds, {} if problem is None else {"problem": problem})

    def _log_line(self, status: int, seconds: float, details: dict[str, str | int]) -> None:
        # What asks a client to come again is no fault, and under overload most of the lines.
        is_fault = status >= _SERVER_ERROR and status != _UNAVAILABLE
        level = logging.ERROR if is_fault else logging.INFO
        if not _access_log.isEnabledFor(level):
            return
        facts: dict[str, Any] = {
            "method": self._method,
            "path": _printable(self._path),
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
            "request_id": self.request_id,
            **details,
        }
        if (client := self._policy.proxies.client(self.peer, self.headers)) is not None:
            facts["client"] = client
        if (trace_parent := self.headers.get(b"traceparent")) is not None:
            facts |= trace_facts(trace_parent)
        _access_log.log(level, "request", extra=facts)


def _printable(path: str) -> str:
    """Return a path that neither ends its line nor fills the log."""
    shown = path[:_MAX_LOGGED_PATH]
    return shown if shown.isprintable() else shown.encode("unicode_escape").decode("ascii")
