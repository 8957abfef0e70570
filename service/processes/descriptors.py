"""File descriptors: that the first three are there, how many there may be, and when to wait."""

import errno
import logging
import os
import resource
import sys
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

_STANDARD_STREAMS = ("stdin", "stdout", "stderr")
# Kept free of connections for files, channels and threads.
_MAX_RESERVED = 64
_PAUSE_SECONDS = 0.1
_LOG_INTERVAL_SECONDS = 10.0
# accept(2): the connection has ended before it was accepted; so has an error of its network.
_CONNECTION_ERRORS = frozenset({
    errno.EAGAIN, errno.ECONNABORTED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EINTR,
    errno.ENETDOWN, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EPERM,
    errno.EPROTO, errno.ETIMEDOUT, errno.ECONNRESET,
})  # fmt: skip


def open_standard_descriptors() -> None:
    """Open the null device in place of each of descriptors 0, 1 and 2 that is closed.

    A socket would get the number otherwise, and a client whatever is written to standard error.
    """
    for number, name in enumerate(_STANDARD_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
            os.set_inheritable(opened, True)
            mode = "r" if number == 0 else "w"
            # Lives as long as the program, as the stream in whose place it is.
            stream = open(number, mode, errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def raise_descriptor_limit() -> None:
    """Allow this process, and those it starts, as many descriptors as its hard limit does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # macOS allows less than the "unlimited" it reports
        _log.warning("the limit of file descriptors stays", extra={"cause": str(error)})


def max_connection_descriptors() -> int:
    """Return how many descriptors of a process may be connections."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return soft - min(_MAX_RESERVED, soft // 2)


def is_connection_error(error: OSError) -> bool:
    """Say whether accepting failed for one connection alone, and not for want of resources.

    Source: accept(2), "Error handling".
    """
    return error.errno in _CONNECTION_ERRORS


class AcceptPause:
    """A moment in which no connections are accepted, because there are no resources for them.

    They wait in the listening socket meanwhile.
    """

    def __init__(self, count: Callable[[], None]) -> None:
        """Begin without a pause.

        Args:
            count: Counts a pause in the metrics.
        """
        self._count = count
        self._until = 0.0
        self._next_line = 0.0
        self._unlogged = 0

    def begin(self, cause: str) -> None:
        """Pause, count it, and log it unless there was a line a moment ago.

        Args:
            cause: What is missing.
        """
        now = time.monotonic()
        self._until = now + _PAUSE_SECONDS
        self._count()
        self._unlogged += 1
        if now >= self._next_line:
            self._next_line = now + _LOG_INTERVAL_SECONDS
            facts = {"cause": cause, "times": self._unlogged}
            _log.error("new connections have to wait", extra=facts)
            self._unlogged = 0

    def seconds_left(self, now: float) -> float:
        """Return the rest of the pause: 0 without one.

        Args:
            now: Seconds of the monotonic clock.
        """
        return max(0.0, self._until - now)


NO_DESCRIPTORS = "as many connections are open as there may be file descriptors (ulimit -n)"
"""Cause of a pause: what is left is kept for other things than connections."""
