"""ASGI: its types, and what every request outside the pipeline has: an id, a log line, a count."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from service.api.policy.request_policy import OPEN_POLICY, RequestPolicy
from service.api.problems import (
    Headers,
    detail_of,
    problem_body,
    problem_for,
    problem_headers,
    problem_type,
)
from service.api.request_record import OTHER_PATHS, RequestRecord
from service.errors import RequestError
from service.log_config import request_id
from service.metrics.recorder import Recorder

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PROBLEM = "latentserve.problem"
"""Key of an ASGI scope: last part of the type of the problem that it was answered with."""
_BODILESS = (204, 304)

_log = logging.getLogger(__name__)


class RecordMiddleware:
    """Gives every request outside the pipeline an id, a log line, a count and a last resort."""

    def __init__(
        self,
        app: Application,
        recorder: Recorder,
        *,
        access_log: bool,
        policy: RequestPolicy = OPEN_POLICY,
    ) -> None:
        """Wrap an application.

        Args:
            app: Handles requests.
            recorder: Counts requests.
            access_log: Whether to log a line per request.
            policy: Decides by a request's head who may ask, and from where.
        """
        self._app = app
        self._recorder = recorder
        self._access_log = access_log
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(
            scope["method"],
            path_below_root(scope),
            dict(scope["headers"]),
            self._recorder,
            access_log=self._access_log,
            policy=self._policy,
        )
        record.peer = scope.get("client")
        request_id.set(record.request_id)
        status = 0

        async def send_recorded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *record.response_headers]
            await send(message)

        try:
            self._policy.check(scope["method"], record.headers, record.peer)
            await self._app(scope, receive, send_recorded)
        except Exception as error:  # noqa: BLE001  # whatever fails, there is a response
            if not isinstance(error, RequestError):
                _log.exception("request failed")
            if not status:
                await _send_problem(send_recorded, scope, error, record.request_id)
        record.call = getattr(scope.get("route"), "path", OTHER_PATHS)
        record.record_failure(status, scope.get(PROBLEM))


async def send_response(
    send: Send, status: int, headers: Headers, body: bytes | memoryview
) -> None:
    """Send a whole response.

    Args:
        send: The ASGI channel.
        status: HTTP status.
        headers: Everything but Content-Length.
        body: The body.
    """
    if status not in _BODILESS:
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def without_body(send: Send) -> Send:
    """Return a channel for the answer to a HEAD request: as to GET, but for the body."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def path_below_root(scope: Scope) -> str:
    """Return the path below the prefix that the application is mounted or published under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


async def _send_problem(send: Send, scope: Scope, error: Exception, identifier: str) -> None:
    problem = problem_for(error).under(scope.get("root_path", ""))
    scope[PROBLEM] = problem.slug
    body = problem_body(problem, detail_of(error, problem), identifier)
    await send_response(
        send, problem.status, [problem_type(), *problem_headers(problem, error)], body
    )
