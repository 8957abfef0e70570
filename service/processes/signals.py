"""SIGTERM and SIGINT: before anything handles them, and as a request to stop. Others: ignored."""

import logging
import os
import selectors
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit status of a program that SIGINT has stopped."""
SUPERVISOR_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
"""Signals that a supervisor handles, and that a process forked from it must not."""
_IGNORED_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

_log = logging.getLogger(__name__)


def ignore_other_signals() -> None:
    """Ignore the signals that ask other programs to reload, and say so once for each.

    Without this they would end the program at once: a terminal that closes, log rotation or a
    deployment script sends them to whatever runs. What is ignored already (nohup) stays so.
    """
    said = set[int]()

    def ignore(number: int, _frame: object) -> None:
        if number not in said:
            said.add(number)
            name = signal.Signals(number).name
            _log.warning("%s is ignored: settings and models are read at start", name)

    for number in _IGNORED_SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, ignore)


def exit_on_signals() -> None:
    """Let SIGTERM and SIGINT end the program at once, until something else handles them.

    PID 1 of a container ignores SIGTERM unless it installs a handler. Raising an exception instead
    would not do: one raised while compiled code calls back into Python is printed and dropped.
    """

    def end(number: int, _frame: object) -> None:
        logging.shutdown()  # waits a moment for the last lines to be written
        os._exit(INTERRUPTED if number == signal.SIGINT else 0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


class StopRequest:
    """The signals that ask a service to stop, and when it has to.

    - SIGTERM: after the draining time, in which it still answers.
    - SIGINT, or a second signal: at once.
    """

    def __init__(self, drain_seconds: float = 0.0) -> None:
        """Begin without a request.

        Args:
            drain_seconds: Time between SIGTERM and the stop.
        """
        self._drain_seconds = drain_seconds
        self._received: list[int] = []
        self._due = float("inf")

    def receive(self, number: int, now: float) -> None:
        """Take a signal.

        Args:
            number: SIGTERM or SIGINT.
            now: Seconds of the monotonic clock.
        """
        first_of_all = not self._received
        self._received.append(number)
        drains = first_of_all and number == signal.SIGTERM
        self._due = min(self._due, now + self._drain_seconds if drains else now)

    @property
    def received(self) -> bool:
        """Whether a signal has come."""
        return bool(self._received)

    @property
    def interrupted(self) -> bool:
        """Whether SIGINT was among the signals."""
        return signal.SIGINT in self._received

    def seconds_left(self, now: float) -> float:
        """Return the time until the service has to stop: infinite without a request, 0 when due."""
        return max(0.0, self._due - now)

    def count_of(self, number: int) -> int:
        """Count how often a signal has come."""
        return self._received.count(number)


@contextmanager
def handled_signals(
    selector: selectors.BaseSelector, handle: Callable[[int], None]
) -> Generator[None]:
    """Call a function with each of a supervisor's signals, and end the selector's wait.

    Args:
        selector: What the supervisor waits with; the data of its keys are functions to call.
        handle: Takes the number of the signal.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    before = {
        number: signal.signal(number, lambda number, _frame: handle(number))
        for number in SUPERVISOR_SIGNALS
    }
    wakeup_before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    selector.register(ours, selectors.EVENT_READ, lambda: _read_all(ours))
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        ours.close()
        theirs.close()


def _read_all(wakeups: socket.socket) -> None:
    try:
        while wakeups.recv(1024):
            pass
    except BlockingIOError:
        pass
