"""Work that takes too long for an event loop, on threads of its own.

While an event loop parses, writes or computes, it answers nobody else, health checks included. A
function that is about to do much of that calls ``require_thread``; whoever called it on the event
loop calls it again by ``run_on_thread``. Small work stays where it is: a thread and back costs more
than it takes.

A thread helps only as long as no single call into C keeps the interpreter's lock: such work goes in
slices of ``SLICE_BYTES``.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")

SLICE_BYTES = 256 * 1024
"""Text that is parsed by one call: 3 ms, and 10 ms where it holds nothing but one-digit numbers."""

# One thread each, because parsing and writing hold the interpreter's lock for most of their time:
# more threads would finish later, and use as many times the memory. Two, so that a body of 2 MB
# does not wait for eight of 32 MB.
_MAX_MEDIUM_BYTES = 8 * 1024 * 1024
_MEDIUM = ThreadPoolExecutor(1, "medium-work")
_LARGE = ThreadPoolExecutor(1, "large-work")


class CostlyWork(Exception):  # not an error: it says where to do the work
    """Work that must not be done on an event loop.

    Attributes:
        size: Bytes that it reads or writes, about.
    """

    def __init__(self, size: int) -> None:
        """Say how much work it is."""
        super().__init__(size)
        self.size = size


def require_thread(size: int) -> None:
    """Interrupt costly work that has been begun on an event loop.

    Args:
        size: Bytes that the work reads or writes, about.

    Raises:
        CostlyWork: An event loop runs on this thread.
    """
    if is_on_event_loop():
        raise CostlyWork(size)


def is_on_event_loop() -> bool:
    """Whether an event loop runs on this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def run_on_thread(
    size: int, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs
) -> Result:
    """Do costly work without the event loop, in the context of the calling task.

    If the task is cancelled, work that has not begun is dropped, and the result of work that has.

    Args:
        size: Bytes that the work reads or writes, about.
        function: The work.
        *args: Its arguments.
        **kwargs: Its keyword arguments.
    """
    executor = _MEDIUM if size <= _MAX_MEDIUM_BYTES else _LARGE
    work = partial(function, *args, **kwargs)
    waiting: list[Callable[[], Result]] = [partial(contextvars.copy_context().run, work)]
    del work, args, kwargs
    try:
        return await asyncio.wrap_future(executor.submit(_run_last, waiting))
    finally:
        # The executor keeps what has been cancelled until its turn comes, a large body included.
        waiting.clear()


def _run_last(waiting: list[Callable[[], Result]]) -> Result:
    return waiting.pop()()
