"""One inference request from its head to its response, whichever way it came."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from service.api.dialects.dialect import Endpoint, Head
from service.api.request_record import RequestRecord
from service.errors import DeadlineExceeded, Draining
from service.request_context import RequestContext


class ClientGoneError(Exception):
    """The client closed the connection before its response."""


class Exchange:
    """What is known of a request while it is open.

    Attributes:
        endpoint: What its path means.
        head: What it said before its body.
        record: What is counted and logged of it.
        context: What it carries through operations and graphs.
        received_bytes: Length of what has come of its body.
        held_bytes: What it holds of the bytes that may be open.
        media_type: Of its body, once its head has been admitted.
        body_requested: Whether its body has been read, or the client told to send it.
        body_received: Whether its whole body has been received.
        task: The task that runs it, once it has started.
        abandon: Responds with the reason of an interruption while no task runs.
        watch_client: Starts to watch for a disconnect, where that has a cost; called if the
            request is still open at the first check of its time.
    """

    __slots__ = (
        "_interruption",
        "abandon",
        "body_received",
        "body_requested",
        "context",
        "endpoint",
        "head",
        "held_bytes",
        "media_type",
        "received_bytes",
        "record",
        "task",
        "watch_client",
    )

    def __init__(
        self, endpoint: Endpoint, head: Head, record: RequestRecord, timeout_seconds: float
    ) -> None:
        """Open an exchange.

        Args:
            endpoint: What its path means.
            head: What the request said before its body.
            record: What is counted and logged of it.
            timeout_seconds: Time until it is interrupted.
        """
        self.endpoint = endpoint
        self.head = head
        self.record = record
        self.context = RequestContext(time.monotonic() + timeout_seconds)
        self.media_type = ""
        self.received_bytes = self.held_bytes = 0
        self.body_requested = False
        self.body_received = False
        self.task: asyncio.Task[Any] | None = None
        self.abandon: Callable[[Exchange, BaseException], None] | None = None
        self.watch_client: Callable[[], None] | None = None
        self._interruption: BaseException | None = None

    @property
    def is_interrupted(self) -> bool:
        """Whether it has been interrupted."""
        return self._interruption is not None

    def interrupt(self, reason: BaseException) -> None:
        """Cancel the work; the response then says the first reason."""
        if self._interruption is not None:
            return
        self._interruption = reason
        if self.task is not None:
            self.task.cancel()
        elif self.abandon is not None:
            self.abandon(self, reason)

    def check_time(self, now: float) -> None:
        """Interrupt the work if its deadline has passed; called fifty times a second.

        Args:
            now: ``time.monotonic()``.
        """
        if now >= self.context.deadline:
            stage = "the model worked" if self.body_received else "the body was on its way"
            self.interrupt(DeadlineExceeded(f"the time limit passed while {stage}"))
        elif self.body_received and self.watch_client is not None:
            self.watch_client()
            self.watch_client = None

    def cause_of(self, error: BaseException) -> BaseException:
        """Return the error to report for a failure: the reason of an interruption, else itself."""
        if not isinstance(error, asyncio.CancelledError):
            return error
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        return self._interruption or Draining("the service stopped before the response was ready")
