"""The steps of an inference request, whichever way it came.

Check, authenticate, limit, read, parse, authorize, queue and run, write, record: here they stand in
the order in which a request takes them. Nothing here knows how bytes come and go: ``http1`` brings
them straight from the socket, ``asgi`` through the protocol that frameworks and other servers
speak. Whatever runs for a request runs in a real asyncio task: timeouts, context variables, task
groups and executors work in every step.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from service.api.authentication import Authenticator, may_use
from service.api.capacity.open_bytes import OpenBytes
from service.api.capacity.refusals import Key, Refusals
from service.api.capacity.turns import Turns
from service.api.deadline_timer import DeadlineTimer
from service.api.dialects.dialect import Body, Dialect, Endpoint, Head
from service.api.exchange import ClientGoneError, Exchange
from service.api.media_types import JSON
from service.api.policy.request_policy import OPEN_POLICY, RequestPolicy
from service.api.problems import (
    MISTAKEN_REQUESTS,
    Headers,
    detail_of,
    problem_body,
    problem_for,
    problem_headers,
    problem_type,
)
from service.api.request_record import RequestRecord
from service.catalog.reconciler import Reconciler
from service.errors import (
    BodyTooLarge,
    InferenceFailed,
    LatentServeError,
    MethodNotAllowed,
    QueueFull,
    RequestError,
)
from service.log_config import request_id
from service.metrics.recorder import STAGES, Recorder, Stages
from service.off_loop import CostlyWork, run_on_thread
from service.settings import Settings

_SERVER_TIMING = ", ".join(f"{name};dur=%.3f" for name in STAGES).encode()
CALL_METHOD = "POST"
"""What every call takes."""
NO_CONTENT = 204
_CLIENT_CLOSED_REQUEST = 499  # for the log and the metrics alone: the client has left

_log = logging.getLogger(__name__)


class Reply(NamedTuple):
    """A response to send: every header but those of its length and its connection."""

    status: int
    headers: Headers
    body: Body
    closes: bool = False
    """Whether the connection cannot be kept."""


class Pipeline:
    """The steps that both ways to them share.

    Attributes:
        timer: Interrupts open exchanges at their deadlines.
        open_bytes: What open requests and responses hold.
        turns: Shares out the turns of the event loop.
    """

    def __init__(
        self,
        dialects: Sequence[Dialect],
        reconciler: Reconciler,
        settings: Settings,
        authenticator: Authenticator,
        recorder: Recorder,
        policy: RequestPolicy = OPEN_POLICY,
    ) -> None:
        """Take what the steps need.

        Args:
            dialects: What paths mean; the first that matches decides.
            reconciler: Holds the catalog of models.
            settings: Limits, and whether to log requests.
            authenticator: Decides who may do what.
            recorder: Counts requests.
            policy: Decides by a request's head who may ask, and from where.
        """
        self.timer = DeadlineTimer()
        self.open_bytes = OpenBytes(settings.max_open_bytes)
        self.turns = Turns(settings.max_queue_seconds)
        self._refusals = Refusals()
        self._dialects = tuple(dialects)
        self._reconciler = reconciler
        self._authenticator = authenticator
        self._recorder = recorder
        self._policy = policy
        self._root = policy.root_path
        self._access_log = settings.access_log
        self._max_body_bytes = settings.max_body_bytes
        self._timeout_seconds = settings.request_timeout_seconds

    def match(self, path: str) -> Endpoint | None:
        """Return what a path, decoded, means to one of the dialects, if anything."""
        for dialect in self._dialects:
            if (endpoint := dialect.match(path)) is not None:
                return endpoint
        if self._root and path.startswith(self._root + "/"):
            below = path.removeprefix(self._root)
            return next(filter(None, (dialect.match(below) for dialect in self._dialects)), None)
        return None

    def open_exchange(
        self, endpoint: Endpoint, head: Head, peer: Any = None, root_path: str | None = None
    ) -> Exchange:
        """Open the exchange of a request whose head has come.

        Args:
            endpoint: What its path means.
            head: What it said before its body.
            peer: The other end of its connection, as asyncio and ASGI name it.
            root_path: Path prefix under which its client sees the service, where that is known.
        """
        record = RequestRecord(
            head.method,
            endpoint.path,
            head.headers,
            self._recorder,
            endpoint.name,
            access_log=self._access_log,
            policy=self._policy,
        )
        record.peer, record.root_path = peer, root_path
        return Exchange(endpoint, head, record, self._timeout_seconds)

    def admit(self, exchange: Exchange) -> None:
        """Authenticate a request, and decide by its head whether its body is worth reading.

        Raises:
            RequestError: It may not call, its body is too large or of a kind that is not read, or
                too many requests wait already.
        """
        head = exchange.head
        media_type = head.media_type
        if media_type is None:
            self._policy.check(head.method, head.headers, exchange.record.peer)
            if head.method != CALL_METHOD:
                raise MethodNotAllowed(exchange.endpoint.path, CALL_METHOD)
        exchange.context.principal = self._authenticator.authenticate(head.headers)
        if media_type is None:
            declared = head.headers.get(b"content-length", b"0")
            if declared.isdigit():
                self._check_body_bytes(int(declared))
            media_type = head.media_type = exchange.endpoint.read_head(head)
        exchange.media_type = media_type
        if self.turns.waiting:
            self.turns.check()
        if self._refusals.is_any:
            self._refusals.check(_kind_of(exchange))
        exchange.body_requested = True

    def receive(self, exchange: Exchange, count: int) -> None:
        """Take that so many bytes more of a body have come, before they are kept.

        Raises:
            BodyTooLarge: The body has too many.
            MemoryFull: All requests together have too many.
        """
        exchange.received_bytes += count
        self._check_body_bytes(exchange.received_bytes)
        self._hold(exchange, count)

    def close_exchange(self, exchange: Exchange) -> None:
        """Forget an exchange whose response is ready: its deadline, and what it held."""
        self.timer.remove(exchange)
        self.open_bytes.give_back(exchange.held_bytes)
        exchange.held_bytes = 0

    def _check_body_bytes(self, body_bytes: int) -> None:
        if body_bytes > self._max_body_bytes:
            raise BodyTooLarge(f"the limit is {self._max_body_bytes} bytes")

    def _hold(self, exchange: Exchange, count: int) -> None:
        self.open_bytes.take(count)
        exchange.held_bytes += count

    def answer_options(self, exchange: Exchange) -> Reply:
        """Say which methods a path takes, and to a browser what pages of its origin may send.

        Raises:
            RequestError: They may send nothing.
        """
        head, record = exchange.head, exchange.record
        self._policy.check(head.method, head.headers, record.peer)
        headers = [
            (b"allow", CALL_METHOD.encode()),
            *self._policy.cross_origin.preflight_headers(head.headers, CALL_METHOD),
            *record.response_headers,
        ]
        record.record_failure(NO_CONTENT)
        return Reply(NO_CONTENT, headers, b"")

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
            catalog, started = self._reconciler.catalog, time.perf_counter()
            arguments = (exchange.head, exchange.media_type, body, catalog, context)
            try:
                request = endpoint.parse_request(*arguments)
                parsed = time.perf_counter()
                self.turns.spend(parsed - started)
            except RequestError:
                self.turns.spend(time.perf_counter() - started)
                raise
            except CostlyWork as costly:
                with catalog.in_use():
                    request = await run_on_thread(costly.size, endpoint.parse_request, *arguments)
                parsed = time.perf_counter()
            model = request.model
            record.model, record.version = model.name, model.version
            with model.in_use:
                self._authenticator.authorize(context.principal, request.operation.name, model.name)
                request.response_type = endpoint.negotiate(exchange.head, request)
                # A body that has come at once has not been counted yet.
                self._hold(exchange, len(body) - exchange.held_bytes + request.expected_bytes)
                result = await request.operation.run(model.autoencoder, request.work)
                started = time.perf_counter()
                try:
                    content, headers = endpoint.write_response(request, result)
                    written = time.perf_counter()
                    self.turns.spend(written - started)
                except CostlyWork as costly:
                    content, headers = await run_on_thread(
                        costly.size, endpoint.write_response, request, result
                    )
                    written = time.perf_counter()
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001  # whatever it is, there is a response
            return self._fail(exchange, error)
        stages = Stages(
            parsed - record.started,
            context.queue_seconds,
            context.inference_seconds,
            written - started,
        )
        headers += (_server_timing(stages), *record.response_headers)
        record.record_success(request.rows, stages)
        return Reply(200, headers, content)

    def _fail(self, exchange: Exchange, error: BaseException) -> Reply:
        if isinstance(error, QueueFull) and self._head_names_model(exchange):
            self._refusals.add(_kind_of(exchange), error)
        return self.reject(exchange, exchange.cause_of(error))

    def _head_names_model(self, exchange: Exchange) -> bool:
        """Whether all requests with this head are for the same model."""
        in_query = b"model=" in exchange.head.query_string
        one_model = len(self._reconciler.catalog.names) == 1
        return in_query or one_model or exchange.media_type != JSON

    def reject(self, exchange: Exchange, error: BaseException) -> Reply:
        """Finish a request that failed, and say why in a response, whatever happens meanwhile.

        Args:
            exchange: The request.
            error: What ``admit``, ``receive`` or a step of ``answer`` raised, or why the exchange
                was interrupted; ``ClientGoneError`` when the client has left.
        """
        try:
            return self._rejection(exchange, error)
        except Exception:  # noqa: BLE001  # whatever it is, there is a response
            _log.exception("a problem could not be written")
            failure = InferenceFailed("no problem could be written")
            return self.refuse(failure, exchange.record.peer)

    def _rejection(self, exchange: Exchange, error: BaseException) -> Reply:
        record = exchange.record
        if isinstance(error, ClientGoneError):
            record.record_failure(_CLIENT_CLOSED_REQUEST)
            return Reply(_CLIENT_CLOSED_REQUEST, [], b"")
        if not isinstance(error, RequestError):
            facts = {"request_id": record.request_id}
            _log.error("inference call failed", exc_info=error, extra=facts)
        problem = problem_for(error).under(record.prefix())
        field_errors = error.field_errors if isinstance(error, RequestError) else ()
        body, media_type = exchange.endpoint.write_problem(
            problem,
            detail_of(error, problem),
            record.request_id,
            field_errors,
            self._find_example(exchange, error),
        )
        headers = [(b"content-type", media_type), *problem_headers(problem, error)]
        headers += record.response_headers
        record.record_failure(problem.status, problem.slug)
        # The server reads and drops what is left of a body: a client that is still sending would
        # see a closed connection instead of this response. One that waits to be asked for its
        # body may never send it.
        waits = b"expect" in exchange.head.headers and not exchange.body_requested
        return Reply(problem.status, headers, body, closes=waits)

    def _find_example(self, exchange: Exchange, error: BaseException) -> Mapping[str, Any] | None:
        """Find a body that works, where one helps and the client may use its model."""
        if type(error) not in MISTAKEN_REQUESTS or not isinstance(error, RequestError):
            return None
        endpoint = exchange.endpoint
        example = endpoint.find_example(self._reconciler.catalog, error.model)
        if example is None or not may_use(
            self._authenticator, exchange.head.headers, endpoint.name, example["model"]
        ):
            return None
        return example

    def refuse(self, error: LatentServeError, peer: Any = None) -> Reply:
        """Answer what is no request, or none that can be read to its end.

        Args:
            error: Why.
            peer: The other end of the connection, as asyncio and ASGI name it.
        """
        record = RequestRecord(
            "", "", {}, self._recorder, access_log=self._access_log, policy=self._policy
        )
        record.peer = peer
        problem = problem_for(error)
        body = problem_body(problem, detail_of(error, problem), record.request_id)
        record.record_failure(problem.status, problem.slug)
        headers = [problem_type(), *problem_headers(problem, error), *record.response_headers]
        return Reply(problem.status, headers, body, closes=True)


def _kind_of(exchange: Exchange) -> Key:
    declared = exchange.head.headers.get(b"content-length", b"0")
    body_bytes = int(declared) if declared.isdigit() else 0
    return exchange.endpoint.path, exchange.head.query_string, body_bytes.bit_length()


def _server_timing(stages: Stages) -> tuple[bytes, bytes]:
    return b"server-timing", _SERVER_TIMING % tuple([1000 * seconds for seconds in stages])
