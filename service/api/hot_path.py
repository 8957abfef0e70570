"""One ASGI pipeline for the six inference calls.

Authenticate, limit, read, understand, queue and run, write, observe: each is one step below, in
the order in which a request takes them. It stands in front of the framework's router and
middleware, which cost more than the models behind it; requests of other paths pass through.
"""

import asyncio
import logging
import time
from typing import Any

from service.api.answers import Headers, write_answer
from service.api.authentication import Authenticator
from service.api.calls import CALLS, Call
from service.api.interruption import ClientGoneError, Watch
from service.api.media_types import body_type, choose_type, writable_types
from service.api.middleware import (
    Application,
    Observation,
    Receive,
    Scope,
    Send,
    send_response,
)
from service.api.problems import (
    METHOD_NOT_ALLOWED,
    PROBLEMS,
    Problem,
    detail_of,
    problem_body,
    problem_for,
    problem_headers,
)
from service.api.requests import Understood, understand
from service.errors import (
    BodyTooLarge,
    Draining,
    Fault,
    RequestError,
    UnsupportedMediaType,
)
from service.inference.graphs import Ticket
from service.inference.registry import Registry
from service.metrics.recorder import STAGES, Recorder, Stages
from service.settings import Settings

_SERVER_TIMING = ", ".join(f"{name};dur=%.3f" for name in STAGES).encode()
_CLIENT_CLOSED_REQUEST = 499  # for the log alone: nobody is there to read it

_log = logging.getLogger(__name__)


class HotPath:
    """Answers the six calls itself and leaves every other path to the application behind it."""

    def __init__(
        self,
        app: Application,
        registry: Registry,
        settings: Settings,
        authenticator: Authenticator,
        recorder: Recorder,
    ) -> None:
        """Stand in front of an application.

        Args:
            app: Answers every other path.
            registry: Finds models.
            settings: Limits, and whether to log requests.
            authenticator: Decides who may call.
            recorder: Counts requests.
        """
        self._app = app
        self._registry = registry
        self._settings = settings
        self._authenticator = authenticator
        self._recorder = recorder
        self._watch = Watch()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = CALLS.get(scope["path"]) if scope["type"] == "http" else None
        if call is None:
            await self._app(scope, receive, send)
            return
        observation = Observation(
            scope, self._recorder, call.capability, access_log=self._settings.access_log
        )
        if scope["method"] != "POST":
            detail = f"{call.path} takes POST"
            allow = [(b"allow", b"POST")]
            await _send_problem(send, observation, METHOD_NOT_ALLOWED, detail, headers=allow)
            return
        try:
            await self._answer(call, scope, receive, send, observation)
        except ClientGoneError:
            observation.finish(_CLIENT_CLOSED_REQUEST)
        except asyncio.CancelledError:
            # The server stops, and has waited for open requests as long as it is willing to.
            detail = "the service stopped before the answer was ready"
            await _send_problem(send, observation, PROBLEMS[Draining], detail)
        except RequestError as error:
            problem = problem_for(error)
            await _send_problem(send, observation, problem, str(error), error.faults)
        except Exception as error:  # noqa: BLE001  # whatever fails, the client gets an answer
            _log.exception("inference call failed")
            problem = problem_for(error)
            await _send_problem(send, observation, problem, detail_of(error, problem))

    async def _answer(
        self, call: Call[Any], scope: Scope, receive: Receive, send: Send, observation: Observation
    ) -> None:
        headers = observation.headers
        self._authenticator.authenticate(headers)
        media_type = self._limit(headers)
        ticket = Ticket(time.monotonic() + self._settings.request_timeout_seconds)
        with self._watch.begin(ticket.deadline) as interruption:
            observation.body_asked_for = True
            body = await self._read(receive)
            interruption.watch_client(receive)
            request = understand(
                call,
                media_type,
                scope["query_string"],
                body,
                self._registry,
                max_rows=self._settings.max_rows,
                ticket=ticket,
            )
            observation.model, observation.version = request.model.name, request.model.version
            wanted = self._negotiate(call, request, headers)
            read_seconds = time.perf_counter() - observation.started
            answer = await call.run(request.work)
        started = time.perf_counter()
        content, answer_headers = write_answer(answer, request.model, request.work.options, wanted)
        write_seconds = time.perf_counter() - started
        stages = Stages(read_seconds, ticket.queue_seconds, ticket.inference_seconds, write_seconds)
        answer_headers += [_server_timing(stages), *observation.answer_headers]
        await send_response(send, 200, answer_headers, content)
        observation.answered(request.rows, stages)

    def _limit(self, headers: dict[bytes, bytes]) -> str:
        """Refuse by the headers what need not be read; return the body's media type."""
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedMediaType("compressed bodies are not read; send it as it is")
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._settings.max_body_bytes:
            raise self._too_large()
        content_type = headers.get(b"content-type")
        return body_type(None if content_type is None else content_type.decode("latin-1"))

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"the limit is {self._settings.max_body_bytes} bytes")

    async def _read(self, receive: Receive) -> bytes:
        """Read the body, however it is cut into pieces, up to the limit."""
        pieces: list[bytes] = []
        length = 0
        message = await receive()
        while message["type"] == "http.request":
            piece: bytes = message.get("body", b"")
            pieces.append(piece)
            length += len(piece)
            if length > self._settings.max_body_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(pieces)
            message = await receive()
        raise ClientGoneError

    def _negotiate(self, call: Call[Any], request: Understood, headers: dict[bytes, bytes]) -> str:
        is_image = call.answers_rows and request.model.manifest.input.kind == "image"
        accept = headers.get(b"accept")
        return choose_type(
            None if accept is None else accept.decode("latin-1"), writable_types(is_image=is_image)
        )


def _server_timing(stages: Stages) -> tuple[bytes, bytes]:
    return b"server-timing", _SERVER_TIMING % tuple(1000 * seconds for seconds in stages)


async def _send_problem(
    send: Send,
    observation: Observation,
    problem: Problem,
    detail: str,
    faults: tuple[Fault, ...] = (),
    *,
    headers: Headers | None = None,
) -> None:
    body = problem_body(problem, detail, observation.request_id, faults)
    all_headers = [*problem_headers(problem), *observation.answer_headers, *(headers or [])]
    # The server reads and drops what is left of a body: a client that is still sending would see
    # a closed connection instead of this answer. One that waits to be asked may never send it.
    if b"expect" in observation.headers and not observation.body_asked_for:
        all_headers.append((b"connection", b"close"))
    await send_response(send, problem.status, all_headers, body)
    observation.finish(problem.status, problem.slug)
