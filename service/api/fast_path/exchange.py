"""One request on the short way: from its head, through what it waits for, to its answer."""

import asyncio
from asyncio import Future
from collections.abc import Coroutine
from typing import Any, Protocol

from service.api.pipeline import Head, Pipeline, Reply
from service.log_config import request_id

_MAX_PIECES = 1000  # tiny ones take twenty times the memory of their bytes


class Connection(Protocol):
    """Where an answer goes."""

    def finish(self, exchange: "Exchange", reply: Reply) -> None:
        """Send the answer to an exchange."""
        ...


class Exchange:
    """One request to a call, from its head to its answer.

    To uvicorn it is both what it calls a cycle, which tells it whether the answer has been sent,
    and one of the tasks that it cancels when they take too long at the end.

    Attributes:
        head: What the request said before its body.
        body_bytes: How much of its body has come.
        deadline: ``time.monotonic()`` at which it is interrupted.
        body_has_come: Whether the whole request is here.
        keep_alive: Whether the connection is kept after the answer.
        response_complete: Whether the answer has been sent.
        disconnected: Whether uvicorn has seen the connection go.
        message_event: What uvicorn sets for readers of bodies; here are none.
    """

    __slots__ = (
        "_connection",
        "_pieces",
        "_pipeline",
        "_record",
        "_ticket",
        "_waiting_for",
        "_work",
        "body_bytes",
        "body_has_come",
        "deadline",
        "disconnected",
        "head",
        "keep_alive",
        "response_complete",
    )
    message_event = asyncio.Event()

    def __init__(
        self, connection: Connection, pipeline: Pipeline, head: Head, *, keep_alive: bool
    ) -> None:
        """Begin with a request's head.

        Args:
            connection: Where the answer goes.
            pipeline: What answers.
            head: What the request said before its body.
            keep_alive: Whether its client wants to keep the connection.
        """
        self.head = head
        self._connection = connection
        self._pipeline = pipeline
        self._record = pipeline.observe(head.call, "POST", head.headers)
        self._ticket = pipeline.context()
        self.deadline = self._ticket.deadline
        self._pieces: list[bytes | bytearray | memoryview] = []
        self.body_bytes = 0
        self._work: Coroutine[Any, Any, Reply] | None = None
        self._waiting_for: Future[Any] | None = None
        self.body_has_come = False
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False

    def open(self) -> bool:
        """Refuse the request if its head is reason enough; return whether to wait for its body."""
        try:
            self._pipeline.admit(self.head, self._record)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is answered
            self._refuse(error)
        return not self.response_complete

    def add(self, piece: bytes | memoryview) -> None:
        """Take a piece of the body."""
        self._pieces.append(piece)
        self.body_bytes += len(piece)
        if len(self._pieces) > _MAX_PIECES:
            self._pieces = [_join(self._pieces)]
        try:
            self._pipeline.limit(self.body_bytes)
        except Exception as error:  # noqa: BLE001  # as above
            self._refuse(error)

    def begin_work(self) -> None:
        """Answer the request, which has come whole."""
        self.body_has_come = True
        pieces, self._pieces = self._pieces, []
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not isinstance(body, bytes):
            body = bytes(body)
        self._work = self._pipeline.work(self.head, body, self._ticket, self._record)
        self._go_on()

    def _go_on(self, _: object = None) -> None:
        """Work until there is something to wait for, or nothing to do.

        This is what ``asyncio.Task`` does, but at once: a task waits for the loop's next turn to
        begin, and costs as much as all of ``Exchange``.
        """
        work = self._work
        if work is None:  # it was interrupted when the outcome was there, and this on its way
            return
        outside = request_id.set(self._record.request_id)
        try:
            self._wait_for(work.send(None))
        except StopIteration as end:
            self._reply(end.value)
        except Exception as error:  # noqa: BLE001  # as above
            self._refuse(error)
        finally:
            request_id.reset(outside)

    def _wait_for(self, future: "Future[Any]") -> None:
        future._asyncio_future_blocking = False  # noqa: SLF001  # how a task acknowledges it
        future.add_done_callback(self._go_on)
        self._waiting_for = future

    def interrupt(self, reason: BaseException) -> None:
        """Stop the work, if the answer has not been sent yet, and answer with the reason."""
        if self.response_complete:
            return
        if self._waiting_for is not None and self._work is not None:
            self._waiting_for.remove_done_callback(self._go_on)
            self._waiting_for.cancel()
            self._work.close()
        self._refuse(reason)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002  # as uvicorn calls it
        """Stop soon, because the server stops."""
        asyncio.get_running_loop().call_soon(self.interrupt, asyncio.CancelledError())
        return True

    def _refuse(self, error: BaseException) -> None:
        self._reply(self._pipeline.refuse(self._record, error))

    def _reply(self, reply: Reply) -> None:
        self.response_complete = True
        self._work = self._waiting_for = None
        self._connection.finish(self, reply)


def _join(pieces: list[bytes | bytearray | memoryview]) -> bytearray:
    """Join pieces; the first, if it has been joined before, is not copied again."""
    first, *others = pieces
    joined = first if isinstance(first, bytearray) else bytearray(first)
    joined += b"".join(others)
    return joined
