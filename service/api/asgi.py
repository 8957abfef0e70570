"""The way in that every ASGI server and framework knows."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from service.api.dialects.native.calls import CALLS
from service.api.middleware import Application, Receive, Scope, Send, send_response
from service.api.pipeline import ClientGoneError, Head, Pipeline, Reply, out_of_time
from service.api.request_record import RequestRecord
from service.inference.graphs import RequestContext
from service.log_config import request_id


class CallsOverAsgi:
    """Answers the six calls and leaves every other path to the application behind it.

    It stands in front of the framework's router and middleware, which cost more than the models.
    """

    def __init__(self, app: Application, pipeline: Pipeline) -> None:
        """Stand in front of an application.

        Args:
            app: Answers every other path.
            pipeline: Answers the calls.
        """
        self._app = app
        self._pipeline = pipeline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = CALLS.get(scope["path"]) if scope["type"] == "http" else None
        if call is None:
            await self._app(scope, receive, send)
            return
        head = Head(call, scope["query_string"], dict(scope["headers"]))
        record = self._pipeline.observe(call, scope["method"], head.headers)
        request_id.set(record.request_id)
        if scope["method"] != "POST":
            reply = self._pipeline.refuse_method(call, record)
        else:
            reply = await self._reply(head, receive, record)
        if reply.headers:  # else the client has gone
            await send_response(send, *reply)

    async def _reply(self, head: Head, receive: Receive, record: RequestRecord) -> Reply:
        try:
            context = self._pipeline.context()
            self._pipeline.admit(head, record)
            body = await self._read_in_time(receive, context)
            work = self._pipeline.work(head, body, context, record)
            return await _while_it_is_wanted(work, receive, context)
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001  # whatever it is, it is answered
            return self._pipeline.refuse(record, error)

    async def _read_in_time(self, receive: Receive, context: RequestContext) -> bytes:
        try:
            async with asyncio.timeout(context.deadline - time.monotonic()):
                return await self._read(receive)
        except TimeoutError:
            raise out_of_time(body_has_come=False) from None

    async def _read(self, receive: Receive) -> bytes:
        """Read the body, however it is cut into pieces, up to the limit."""
        pieces: list[bytes] = []
        length = 0
        message = await receive()
        while message["type"] == "http.request":
            piece: bytes = message.get("body", b"")
            pieces.append(piece)
            length += len(piece)
            self._pipeline.limit(length)
            if not message.get("more_body", False):
                return b"".join(pieces)
            message = await receive()
        raise ClientGoneError


async def _while_it_is_wanted(
    work: Coroutine[Any, Any, Reply], receive: Receive, context: RequestContext
) -> Reply:
    """Work until the answer is there, the client has left or its time is up.

    Args:
        work: What gives the answer.
        receive: The channel, whose body has been read: all that it still says is disconnect.
        context: The request's context.

    Raises:
        ClientGoneError: The client has left.
        DeadlineExceeded: The deadline has passed.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(receive())
    try:
        seconds = context.deadline - time.monotonic()
        first = asyncio.FIRST_COMPLETED
        done, _ = await asyncio.wait((working, leaving), timeout=seconds, return_when=first)
        if working in done:
            return working.result()
        raise ClientGoneError if leaving in done else out_of_time(body_has_come=True)
    finally:
        working.cancel()
        leaving.cancel()
