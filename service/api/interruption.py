"""Work that nobody waits for any more is stopped: its client has left, or its time is up."""

import asyncio
import time
from types import TracebackType
from typing import Self

from service.api.middleware import Receive
from service.errors import DeadlineExceeded

# Most answers are ready before the second look, and a watcher costs as much as a small model.
_SECONDS_BETWEEN_LOOKS = 0.02


class ClientGoneError(Exception):
    """The client closed the connection before its answer."""


class Interruption:
    """Cancels the task of one request when its client leaves or its deadline passes.

    A context in which the request's work is done: what leaves it is the reason for the
    cancellation, ``ClientGoneError`` or ``DeadlineExceeded``.
    """

    __slots__ = ("_deadline", "_open", "_reason", "_receive", "_seen", "_task", "_watcher")

    def __init__(self, others: "set[Interruption]", deadline: float) -> None:
        """Prepare to watch.

        Args:
            others: Those that are looked at; this one is among them while the context lasts.
            deadline: ``time.monotonic()`` at which the work is stopped.
        """
        self._deadline = deadline
        self._receive: Receive | None = None
        self._reason: Exception | None = None
        self._task: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._seen = False
        self._open = others

    def __enter__(self) -> Self:
        """Begin, in the task to watch."""
        self._task = asyncio.current_task()
        self._open.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop watching, and say why the task was cancelled, if it was this watch that did it.

        Raises:
            ClientGoneError: The client has left.
            DeadlineExceeded: The deadline has passed.
        """
        self._open.discard(self)
        if self._watcher is not None:
            self._watcher.cancel()
        if isinstance(error, asyncio.CancelledError) and self._reason and self._task:
            self._task.uncancel()
            raise self._reason from None

    def watch_client(self, receive: Receive) -> None:
        """Watch for the client's leaving from the second look on.

        Args:
            receive: The ASGI channel, whose body has been read: all it still says is disconnect.
        """
        self._receive = receive

    def look(self, now: float) -> None:
        """Stop the work if its time is up; else see that somebody watches the client."""
        if now >= self._deadline:
            unfinished = "the model worked" if self._receive else "the body was on its way"
            self._interrupt(DeadlineExceeded(f"the time limit passed while {unfinished}"))
        elif self._receive is None or self._watcher is not None:
            return
        elif not self._seen:
            self._seen = True
        else:
            self._watcher = asyncio.create_task(self._wait_for_disconnect(self._receive))

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        await receive()
        self._interrupt(ClientGoneError())

    def _interrupt(self, reason: Exception) -> None:
        if self._reason is None and self._task is not None:
            self._reason = reason
            self._task.cancel()


class Watch:
    """Looks at all open requests every 20 ms: one timer, instead of one for each of them."""

    def __init__(self) -> None:
        """Watch nothing yet, and set no timer."""
        self._open: set[Interruption] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, deadline: float) -> Interruption:
        """Return the context to work in.

        Args:
            deadline: ``time.monotonic()`` at which its work is stopped.
        """
        if self._timer is None:
            self._set_timer()
        return Interruption(self._open, deadline)

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_SECONDS_BETWEEN_LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        for interruption in list(self._open):
            interruption.look(now)
        if self._open:
            self._set_timer()
