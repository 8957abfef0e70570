"""What every request has, whichever part of the service handles it: an id, a log line, a count."""

import logging
import random
import re
import time
from typing import Any

from service.metrics.recorder import Recorder, Stages

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_SERVER_ERROR = 500
OTHER_PATHS = "other"
"""What requests are counted as whose path is not one of the service's."""

_access_log = logging.getLogger("service.access")


class RequestRecord:
    """One request from its head to its response.

    Attributes:
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
        "_recorder",
        "call",
        "model",
        "request_id",
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
    ) -> None:
        """Begin to record a request.

        Args:
            method: Of the request.
            path: Of the request, without its query.
            headers: Of the request, their names in lower case.
            recorder: Counts it when its response is ready.
            call: What it is counted as: never what its client wrote.
            access_log: Whether to log a line then.
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
        self._recorder = recorder
        self._access_log = access_log
        self._method = method
        self._path = path

    @property
    def response_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that every response carries."""
        return [(b"x-request-id", self.request_id.encode())]

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
        level = logging.ERROR if status >= _SERVER_ERROR else logging.INFO
        if not _access_log.isEnabledFor(level):
            return
        facts: dict[str, Any] = {
            "method": self._method,
            "path": self._path,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
            "request_id": self.request_id,
            **details,
        }
        _access_log.log(level, "request", extra=facts)
