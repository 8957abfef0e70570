"""The ASGI way to the pipeline, which every ASGI server and framework knows."""

import asyncio

from service.api.dialects.dialect import Head, join_fields
from service.api.exchange import ClientGoneError, Exchange
from service.api.middleware import (
    Application,
    Receive,
    Scope,
    Send,
    path_below_root,
    send_response,
    without_body,
)
from service.api.pipeline import Pipeline, Reply
from service.api.policy.request_policy import OPEN_POLICY, RequestPolicy
from service.errors import RequestError
from service.log_config import request_id


class InferenceOverAsgi:
    """Handles what the dialects match and passes every other path on to an application.

    It stands in front of the framework's router and middleware, which cost more than the models.
    A request takes no task and no timer of its own: it runs in the server's task, and the
    pipeline's one timer checks its deadline. Whether its client has left is asked only of
    requests that are still open when the timer first checks them.
    """

    def __init__(
        self, app: Application, pipeline: Pipeline, policy: RequestPolicy = OPEN_POLICY
    ) -> None:
        """Stand in front of an application.

        Args:
            app: Handles every other path.
            pipeline: Handles inference requests.
            policy: Knows the path prefix under which the service is published.
        """
        self._app = app
        self._pipeline = pipeline
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = join_fields(scope["headers"])
        except RequestError as error:
            await _send(send, self._pipeline.refuse(error, scope.get("client")))
            return
        scope = _under_prefix(scope, self._policy.prefix(headers, scope.get("client")))
        if scope["method"] == "HEAD":
            send = without_body(send)
        endpoint = self._pipeline.match(path_below_root(scope))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        head = Head(scope["method"], scope["query_string"], headers)
        exchange = self._pipeline.open_exchange(
            endpoint, head, scope.get("client"), scope.get("root_path", "")
        )
        exchange.task = asyncio.current_task()
        outside = request_id.set(exchange.record.request_id)
        try:
            reply = await self._reply(exchange, receive)
            if reply.headers:  # else the client has gone
                await _send(send, reply)
        finally:
            request_id.reset(outside)

    async def _reply(self, exchange: Exchange, receive: Receive) -> Reply:
        self._pipeline.timer.add(exchange)
        client = _Client(exchange, receive)
        try:
            if exchange.head.method == "OPTIONS":
                return self._pipeline.answer_options(exchange)
            self._pipeline.admit(exchange)
            body = await self._read_body(exchange, receive)
            exchange.body_received = True
            exchange.watch_client = client.watch
            return await self._pipeline.answer(exchange, body)
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001  # whatever it is, there is a response
            return self._pipeline.reject(exchange, exchange.cause_of(error))
        finally:
            self._pipeline.close_exchange(exchange)
            client.stop()

    async def _read_body(self, exchange: Exchange, receive: Receive) -> bytes:
        """Read the body, however it is cut into pieces, up to the limit."""
        pieces: list[bytes] = []
        message = await receive()
        while message["type"] == "http.request":
            piece: bytes = message.get("body", b"")
            self._pipeline.receive(exchange, len(piece))
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)
            message = await receive()
        raise ClientGoneError


class _Client:
    """The client of a request whose body has been read: all it can still send is a disconnect."""

    def __init__(self, exchange: Exchange, receive: Receive) -> None:
        self._exchange = exchange
        self._receive = receive
        self._leaving: asyncio.Task[None] | None = None

    def watch(self) -> None:
        self._leaving = asyncio.get_running_loop().create_task(self._wait_until_gone())

    def stop(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()

    async def _wait_until_gone(self) -> None:
        await self._receive()
        self._exchange.interrupt(ClientGoneError())


async def _send(send: Send, reply: Reply) -> None:
    headers = [*reply.headers, (b"connection", b"close")] if reply.closes else reply.headers
    await send_response(send, reply.status, headers, reply.body)


def _under_prefix(scope: Scope, prefix: str) -> Scope:
    """Say in a scope that the application is published under a prefix.

    The path of a scope begins with its root path (ASGI, HTTP connection scope). A proxy may have
    removed the prefix from the path, or not; a server or an outer application may know it already.
    """
    root: str = scope.get("root_path", "")
    if not prefix or (root + "/").startswith(prefix + "/"):
        return scope
    path: str = scope["path"]
    if not root and (path + "/").startswith(prefix + "/"):
        return {**scope, "root_path": prefix}
    return {**scope, "root_path": prefix + root, "path": prefix + path}
