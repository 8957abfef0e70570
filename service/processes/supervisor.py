"""Several workers behind one port: one process accepts, hands out, restarts and stops.

Workers are forked, so they share the memory of what was loaded before, and a successor is there
at once.
"""

import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from service.metrics.families import WORKER_RESTARTS
from service.metrics.recorder import Recorder
from service.metrics.segments import Segment
from service.processes.acceptor import Acceptor
from service.processes.forking import HANDLED_SIGNALS, describe_exit, fork
from service.processes.signals import INTERRUPTED
from service.processes.worker_handle import HEARTBEAT_CHECK_SECONDS, WorkerHandle

WORKERS_KEEP_DYING = 4
"""Exit status of a service whose workers die again and again."""
_EARLY_EXIT_SECONDS = 10.0
_MAX_EARLY_EXITS = 6
_DELAY_SECONDS = 0.05  # doubled for each short life after the first
_RETRY_SECONDS = 0.5
_KILL_AFTER_SECONDS = 5.0  # on top of what requests get

Serve = Callable[[int, socket.socket], None]
"""What a worker does: its number, and its end of the channel."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predecessor:
    """A process that answers on the listening socket until the workers do.

    Attributes:
        pid: Its process id.
        channel: Tells it, by closing, that the supervisor has gone.
        segment: What it counts in.
    """

    pid: int
    channel: socket.socket
    segment: Segment


class Supervisor:
    """Runs workers until it is asked to stop, or they cannot be kept alive."""

    def __init__(
        self,
        listener: socket.socket,
        serve: Serve,
        segments: list[Segment],
        recorder: Recorder,
        *,
        stop_seconds: float,
        hang_seconds: float,
        predecessor: Predecessor | None = None,
    ) -> None:
        """Prepare; nothing is started before ``run``.

        Args:
            listener: The listening socket whose connections are handed out.
            serve: What a worker does, in a process of its own, until SIGTERM.
            segments: What each worker counts in; as many workers are run.
            recorder: What this process counts with.
            stop_seconds: Time that requests get to finish on SIGTERM.
            hang_seconds: Time for which a worker's event loop may stand still.
            predecessor: Who answers until all workers do, and is stopped then.
        """
        self._serve = serve
        self._segments = segments
        self._recorder = recorder
        self._stop_seconds = stop_seconds
        self._hang_seconds = hang_seconds
        self._predecessor = predecessor
        self._processes: dict[int, WorkerHandle] = {}
        self._due: dict[int, float] = dict.fromkeys(range(len(segments)), 0.0)
        self._early_exits = [0] * len(segments)
        self._selector = selectors.DefaultSelector()
        self._acceptor = Acceptor(listener, self._selector, self._processes)
        self._next_look = time.monotonic() + HEARTBEAT_CHECK_SECONDS
        self._status: int | None = None
        self._stop_signals: list[int] = []

    def run(self) -> int:
        """Keep the workers running.

        Returns:
            Exit status: 0 when it was asked to stop, 130 by SIGINT, 4 when workers kept dying.
        """
        with self._selector, self._wakened_by_signals():
            while self._status is None:
                self._start_due()
                self._acceptor.watch_listener()
                self._wait()
            self._stop()
        return self._status

    def _wait(self) -> None:
        """Wait for a connection, a signal, a worker's word or a time, and act on it."""
        now = time.monotonic()
        times = [self._next_look - now, *(due - now for due in self._due.values())]
        times += self._acceptor.seconds_until_due(now)
        events = [key for key, _ in self._selector.select(max(0.0, min(times)))]
        # What the workers say first: it decides who gets the connections.
        for key in sorted(events, key=lambda key: key.data == self._acceptor.accept):
            key.data()
        self._acceptor.hand_out_held()
        self._reap()
        if time.monotonic() >= self._next_look:
            self._look_after_workers()

    # Workers

    def _start_due(self) -> None:
        now = time.monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            del self._due[number]
            try:
                self._start(number)
            except OSError as error:  # no memory, or no more processes allowed
                _log.error("a worker was not started: %s", error.strerror)
                self._due[number] = now + _RETRY_SECONDS

    def _start(self, number: int) -> None:
        recorder = Recorder(self._segments[number])
        meter, heartbeat = recorder.connections(number), recorder.heartbeat(number)
        ours, theirs = socket.socketpair()

        def work() -> None:
            ours.close()
            self._forget_the_others()
            self._serve(number, theirs)

        pid = fork(work)
        theirs.close()
        ours.setblocking(False)
        process = WorkerHandle(number, pid, ours, meter, heartbeat, time.monotonic())
        self._processes[number] = process
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._listen_to(process))

    def _forget_the_others(self) -> None:
        """Close what a worker inherits: a channel that it held would hide the supervisor's end."""
        self._selector.close()
        self._acceptor.close()
        for process in self._processes.values():
            process.channel.close()
        if self._predecessor is not None:
            self._predecessor.channel.close()

    def _listen_to(self, process: WorkerHandle) -> None:
        try:
            words = process.channel.recv(64)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        process.receive(words, time.monotonic())
        if len(self._acceptor.takers()) == len(self._segments):
            self._relieve_predecessor()
        if not words:  # it takes nothing more; its end is seen by its signal
            self._selector.unregister(process.channel)

    def _relieve_predecessor(self) -> None:
        if self._predecessor is not None:
            os.kill(self._predecessor.pid, signal.SIGTERM)

    def _look_after_workers(self) -> None:
        """End workers whose event loop stands still: what they have is not answered any more.

        SIGABRT first, on which they print where each of their threads is; then SIGKILL, which a
        stopped process heeds as well. Their successors come when their end is seen.
        """
        now = time.monotonic()
        self._next_look = now + HEARTBEAT_CHECK_SECONDS
        for process in self._processes.values():
            process.check_heartbeat(now)
            patience = self._hang_seconds + (self._stop_seconds if process.leaving else 0.0)
            if process.stalled_seconds < patience:
                continue
            if not process.aborted:
                facts = {"stalled_seconds": round(process.stalled_seconds, 3)}
                _log.error(
                    "worker hangs", extra={"worker": process.number, "pid": process.pid, **facts}
                )
            os.kill(process.pid, signal.SIGKILL if process.aborted else signal.SIGABRT)
            process.aborted = True

    def _reap(self) -> None:
        if self._predecessor is not None and os.waitpid(self._predecessor.pid, os.WNOHANG)[0]:
            self._predecessor.segment.end_gauges()
            self._predecessor.channel.close()
            self._predecessor = None
        for process in list(self._processes.values()):
            pid, wait_status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                self._handle_exit(process, os.waitstatus_to_exitcode(wait_status))

    def _handle_exit(self, process: WorkerHandle, exit_code: int) -> None:
        """Clear up after a worker, and decide when its successor starts."""
        number = process.number
        del self._processes[number]
        if process.channel.fileno() in self._selector.get_map():
            self._selector.unregister(process.channel)
        process.channel.close()
        self._segments[number].end_gauges()
        if self._status is not None:
            return
        lived_seconds = time.monotonic() - process.started
        short = lived_seconds < _EARLY_EXIT_SECONDS
        lives = self._early_exits[number] = self._early_exits[number] + 1 if short else 0
        cause = describe_exit(exit_code)
        facts = {"worker": number, "pid": process.pid, "lived_seconds": round(lived_seconds, 3)}
        _log.error("worker died", extra={**facts, "cause": cause})
        if lives >= _MAX_EARLY_EXITS:
            _log.critical(
                "worker %d died %d times in a row within %.0f seconds of its start, last by %s;"
                " the service ends", number, lives, _EARLY_EXIT_SECONDS, cause,
            )  # fmt: skip
            self._status = WORKERS_KEEP_DYING
            return
        delay = _DELAY_SECONDS * 2**lives if lives > 1 else 0.0
        self._due[number] = time.monotonic() + delay
        self._recorder.add(WORKER_RESTARTS)

    # Signals and the end

    @contextmanager
    def _wakened_by_signals(self) -> Generator[None]:
        """Let signals end a wait, and act on them between waits."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        before = {number: signal.signal(number, self._handle) for number in HANDLED_SIGNALS}
        wakeup_before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._selector.register(ours, selectors.EVENT_READ, lambda: _empty(ours))
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            ours.close()
            theirs.close()

    def _handle(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self._stop_signals.append(number)
            if self._status is None:
                self._status = INTERRUPTED if number == signal.SIGINT else 0

    def _stop(self) -> None:
        """Let the workers finish, for as long as they were promised; then end them."""
        self._acceptor.close()
        _log.info("stopping", extra={"workers": len(self._processes)})
        self._relieve_predecessor()
        self._signal_all(signal.SIGTERM)
        signals = len(self._stop_signals)
        until = time.monotonic() + self._stop_seconds + _KILL_AFTER_SECONDS
        while self._processes or self._predecessor:
            self._reap()
            if time.monotonic() > until or signal.SIGINT in self._stop_signals[max(1, signals) :]:
                self._signal_all(signal.SIGKILL)
            time.sleep(0.01)

    def _signal_all(self, number: int) -> None:
        for process in self._processes.values():
            os.kill(process.pid, number)


def _empty(wakeups: socket.socket) -> None:
    try:
        while wakeups.recv(1024):
            pass
    except BlockingIOError:
        pass
