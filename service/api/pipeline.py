"""The steps of an inference request, whichever way it came.

Authenticate, limit, read, parse, authorize, queue and run, write, record: here they stand in the
order in which a request takes them. Nothing here knows how bytes come and go: ``fast_path`` brings
them straight from the socket, ``asgi`` through the protocol that frameworks and other servers
speak. Whatever runs for a request runs in a real asyncio task: timeouts, context variables, task
groups and executors work in every step.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from service.api.authentication import Authenticator
from service.api.deadline_timer import DeadlineTimer
from service.api.dialects.dialect import Body, Dialect, Endpoint, Head
from service.api.exchange import ClientGoneError, Exchange
from service.api.media_types import JSON
from service.api.problems import (
    Headers,
    detail_of,
    problem_body,
    problem_for,
    problem_headers,
    problem_type,
)
from service.api.refusals import Key, Refusals
from service.api.request_record import RequestRecord
from service.api.turns import Turns
from service.catalog.reconciler import Reconciler
from service.errors import BodyTooLarge, HeadTooLarge, MethodNotAllowed, QueueFull, RequestError
from service.log_config import request_id
from service.metrics.recorder import STAGES, Recorder, Stages
from service.settings import Settings

_SERVER_TIMING = ", ".join(f"{name};dur=%.3f" for name in STAGES).encode()
_CLIENT_CLOSED_REQUEST = 499  # for the log and the metrics alone: the client has left

_log = logging.getLogger(__name__)


class Reply(NamedTuple):
    """A response to send: every header but those of its length and its connection."""

    status: int
    headers: Headers
    body: Body


class Pipeline:
    """The steps that the fast path and the ASGI path share.

    Attributes:
        timer: Interrupts open exchanges at their deadlines.
        turns: Shares out the turns of the event loop.
    """

    def __init__(
        self,
        dialects: Sequence[Dialect],
        reconciler: Reconciler,
        settings: Settings,
        authenticator: Authenticator,
        recorder: Recorder,
    ) -> None:
        """Take what the steps need.

        Args:
            dialects: What paths mean; the first that matches decides.
            reconciler: Holds the catalog of models.
            settings: Limits, and whether to log requests.
            authenticator: Decides who may do what.
            recorder: Counts requests.
        """
        self.timer = DeadlineTimer()
        self.turns = Turns(settings.max_queue_seconds)
        self._refusals = Refusals()
        self._dialects = tuple(dialects)
        self._reconciler = reconciler
        self._authenticator = authenticator
        self._recorder = recorder
        self._access_log = settings.access_log
        self._max_body_bytes = settings.max_body_bytes
        self._timeout_seconds = settings.request_timeout_seconds

    def match(self, path: str) -> Endpoint | None:
        """Return what a path, decoded, means to one of the dialects, if anything."""
        for dialect in self._dialects:
            if (endpoint := dialect.match(path)) is not None:
                return endpoint
        return None

    def open_exchange(self, endpoint: Endpoint, head: Head) -> Exchange:
        """Open the exchange of a request whose head has come."""
        record = RequestRecord(
            head.method,
            endpoint.path,
            head.headers,
            self._recorder,
            endpoint.name,
            access_log=self._access_log,
        )
        return Exchange(endpoint, head, record, self._timeout_seconds)

    def admit(self, exchange: Exchange) -> None:
        """Authenticate a request, and decide by its head whether its body is worth reading.

        Raises:
            RequestError: It may not call, its body is too large or of a kind that is not read, or
                too many requests wait already.
        """
        head = exchange.head
        if head.method != "POST":
            raise MethodNotAllowed(exchange.endpoint.path, "POST")
        exchange.context.principal = self._authenticator.authenticate(head.headers)
        declared = head.headers.get(b"content-length", b"0")
        if declared.isdigit():
            self.check_body_bytes(int(declared))
        exchange.media_type = exchange.endpoint.read_head(head)
        if self.turns.waiting:
            self.turns.check()
        if self._refusals:
            self._refusals.check(_kind_of(exchange))
        exchange.body_requested = True

    def check_body_bytes(self, body_bytes: int) -> None:
        """Check how many bytes of a body are known.

        Raises:
            BodyTooLarge: They are too many.
        """
        if body_bytes > self._max_body_bytes:
            raise BodyTooLarge(f"the limit is {self._max_body_bytes} bytes")

    async def answer(self, exchange: Exchange, body: bytes) -> Reply:
        """Answer a request that was admitted and whose body has come.

        To be awaited in the exchange's task.

        Returns:
            The result, or the problem that stood in its way.
        """
        endpoint, context, record = exchange.endpoint, exchange.context, exchange.record
        request_id.set(record.request_id)
        try:
            if self.turns.is_over:
                await self.turns.wait()
                self._refusals.check(_kind_of(exchange))
            started = time.perf_counter()
            request = endpoint.parse_request(
                exchange.head, exchange.media_type, body, self._reconciler.catalog, context
            )
            parsed = time.perf_counter()
            self.turns.spend(parsed - started)
            model = request.model
            record.model, record.version = model.name, model.version
            with model.in_use:
                self._authenticator.authorize(context.principal, request.operation.name, model.name)
                request.response_type = endpoint.negotiate(exchange.head, request)
                read_seconds = parsed - record.started
                result = await request.operation.run(model.autoencoder, request.work)
                started = time.perf_counter()
                content, headers = endpoint.write_response(request, result)
                write_seconds = time.perf_counter() - started
                self.turns.spend(write_seconds)
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001  # whatever it is, there is a response
            if isinstance(error, QueueFull) and self._head_names_model(exchange):
                self._refusals.add(_kind_of(exchange), error)
            return self.reject(exchange, exchange.cause_of(error))
        stages = Stages(
            read_seconds, context.queue_seconds, context.inference_seconds, write_seconds
        )
        headers += (_server_timing(stages), *record.response_headers)
        record.record_success(request.rows, stages)
        return Reply(200, headers, content)

    def _head_names_model(self, exchange: Exchange) -> bool:
        """Whether all requests with this head are for the same model."""
        in_query = b"model=" in exchange.head.query_string
        one_model = len(self._reconciler.catalog.names) == 1
        return in_query or one_model or exchange.media_type != JSON

    def reject(self, exchange: Exchange, error: BaseException) -> Reply:
        """Finish a request that failed, and say why in a response.

        Args:
            exchange: The request.
            error: What ``admit``, ``check_body_bytes`` or a step of ``answer`` raised, or why the
                exchange was interrupted; ``ClientGoneError`` when the client has left.
        """
        record = exchange.record
        if isinstance(error, ClientGoneError):
            record.record_failure(_CLIENT_CLOSED_REQUEST)
            return Reply(_CLIENT_CLOSED_REQUEST, [], b"")
        if not isinstance(error, RequestError):
            facts = {"request_id": record.request_id}
            _log.error("inference call failed", exc_info=error, extra=facts)
        problem = problem_for(error)
        field_errors = error.field_errors if isinstance(error, RequestError) else ()
        body, media_type = exchange.endpoint.write_problem(
            problem, detail_of(error, problem), record.request_id, field_errors
        )
        headers = [(b"content-type", media_type), *problem_headers(problem, error)]
        headers += record.response_headers
        # The server reads and drops what is left of a body: a client that is still sending would
        # see a closed connection instead of this response. One that waits to be asked for its
        # body may never send it.
        if b"expect" in exchange.head.headers and not exchange.body_requested:
            headers.append((b"connection", b"close"))
        record.record_failure(problem.status, problem.slug)
        return Reply(problem.status, headers, body)

    def reject_head(self, max_head_bytes: int) -> Reply:
        """Finish a request whose head does not end within a limit."""
        record = RequestRecord("", "", {}, self._recorder, access_log=self._access_log)
        error = HeadTooLarge(f"the limit is {max_head_bytes} bytes")
        problem = problem_for(error)
        body = problem_body(problem, str(error), record.request_id)
        record.record_failure(problem.status, problem.slug)
        headers = [problem_type(), *problem_headers(problem, error), *record.response_headers]
        return Reply(problem.status, headers, body)


def _kind_of(exchange: Exchange) -> Key:
    declared = exchange.head.headers.get(b"content-length", b"0")
    body_bytes = int(declared) if declared.isdigit() else 0
    return exchange.endpoint.path, exchange.head.query_string, body_bytes.bit_length()


def _server_timing(stages: Stages) -> tuple[bytes, bytes]:
    return b"server-timing", _SERVER_TIMING % tuple([1000 * seconds for seconds in stages])
