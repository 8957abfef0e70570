"""ASGI: its types, and what every request outside the pipeline has: an id, a log line, a count."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from service.api.problems import INTERNAL_ERROR, problem_body, problem_type
from service.api.request_record import OTHER_PATHS, RequestRecord
from service.log_config import request_id
from service.metrics.recorder import Recorder

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)


class RecordMiddleware:
    """Gives every request outside the pipeline an id, a log line and a last resort."""

    def __init__(self, app: Application, recorder: Recorder, *, access_log: bool) -> None:
        """Wrap an application.

        Args:
            app: Handles requests.
            recorder: Counts requests.
            access_log: Whether to log a line per request.
        """
        self._app = app
        self._recorder = recorder
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(
            scope["method"],
            scope["path"],
            dict(scope["headers"]),
            self._recorder,
            access_log=self._access_log,
        )
        request_id.set(record.request_id)
        status = 0

        async def send_recorded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *record.response_headers]
            await send(message)

        try:
            await self._app(scope, receive, send_recorded)
        except Exception:  # noqa: BLE001  # whatever fails, there is a response
            _log.exception("request failed")
            if not status:
                status = INTERNAL_ERROR.status
                body = problem_body(INTERNAL_ERROR, INTERNAL_ERROR.title, record.request_id)
                headers = [problem_type(), *record.response_headers]
                await send_response(send, status, headers, body)
        record.call = getattr(scope.get("route"), "path", OTHER_PATHS)
        record.record_failure(status)


async def send_response(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes | memoryview
) -> None:
    """Send a whole response.

    Args:
        send: The ASGI channel.
        status: HTTP status.
        headers: Everything but Content-Length.
        body: The body.
    """
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
