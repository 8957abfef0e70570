"""Work that nobody waits for any more is stopped: its client has left, or its time is up."""

import asyncio
import time

from service.api.middleware import Receive
from service.errors import DeadlineExceeded

# Most answers are ready by then, and a watcher costs as much as a small model.
_UNWATCHED_SECONDS = 0.02


class ClientGoneError(Exception):
    """The client closed the connection before its answer."""


class Interruption:
    """Cancels the current task when its client leaves or its deadline passes.

    Made and closed by the task it watches. Nothing is watched in the first 20 ms.
    """

    def __init__(self, receive: Receive, deadline: float) -> None:
        """Begin to watch.

        Args:
            receive: The ASGI channel, whose body has been read: all it still says is disconnect.
            deadline: ``time.monotonic()`` at which the work is stopped.
        """
        self._receive = receive
        self._deadline = deadline
        self._reason: Exception | None = None
        self._task = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_UNWATCHED_SECONDS, self._start)

    def raise_reason(self) -> None:
        """Raise why the task was cancelled, if it was this watch that did it.

        Raises:
            ClientGoneError: The client has left.
            DeadlineExceeded: The deadline has passed.
        """
        if self._reason is not None and self._task is not None:
            self._task.uncancel()
            raise self._reason from None

    def close(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                await self._receive()
            self._reason = ClientGoneError()
        except TimeoutError:
            self._reason = DeadlineExceeded("the time limit passed while the model worked")
        if self._task is not None:
            self._task.cancel()
