"""Runs several workers behind one port: starts, restarts and stops them.

Workers are forked, so they share the memory of what was loaded before, and a successor starts
within milliseconds.
"""

import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

from service.metrics.families import ACCEPT_FAILURES, WORKER_RESTARTS
from service.metrics.segments import SharedMemory
from service.process_status import ProcessStatus
from service.processes.acceptor import Acceptor
from service.processes.descriptors import AcceptPause
from service.processes.forking import describe_exit, fork
from service.processes.restarts import EARLY_EXIT_SECONDS, MAX_EARLY_EXITS, RestartPolicy
from service.processes.signals import INTERRUPTED, StopRequest, handled_signals
from service.processes.worker_handle import HEARTBEAT_CHECK_SECONDS, WorkerHandle

WORKERS_KEEP_DYING = 4
"""Exit status of a service whose workers die again and again."""
_FORK_RETRY_SECONDS = 0.5
_KILL_AFTER_SECONDS = 5.0  # on top of what requests get
_ABORT_PAUSE_SECONDS = 5.0
_BUSY_FACTOR = 10

Serve = Callable[[int, socket.socket], None]
"""What a worker does: takes its number, and its end of the channel."""

_log = logging.getLogger(__name__)


class Supervisor:
    """Runs workers until it is asked to stop, or they keep dying."""

    def __init__(
        self,
        listener: socket.socket,
        serve: Serve,
        status: ProcessStatus,
        memory: SharedMemory,
        *,
        stop_request: StopRequest,
        stop_seconds: float,
        hang_seconds: float,
    ) -> None:
        """Prepare; nothing is started before ``run``.

        Args:
            listener: The listening socket whose connections are sent to workers.
            serve: What a worker does, in a process of its own, until SIGTERM.
            status: The slots of the workers; as many workers are run.
            memory: The segment that this process counts in, then one for each worker.
            stop_request: Takes the signals that ask it to stop.
            stop_seconds: Time that requests get to finish when it stops.
            hang_seconds: Time for which a worker's event loop may stand still while its process
                does nothing; ten times as long while it is busy.
        """
        self._serve = serve
        self._status = status
        self._own_segment, *self._segments = memory.segments
        self._stop_request = stop_request
        self._stop_seconds = stop_seconds
        self._hang_seconds = hang_seconds
        self._workers: dict[int, WorkerHandle] = {}
        self._due = {worker.number: 0.0 for worker in status.workers}
        self._restarts = RestartPolicy(len(status.workers))
        self._selector = selectors.DefaultSelector()
        pause = AcceptPause(self._count_accept_failure)
        self._acceptor = Acceptor(listener, self._selector, self._workers, pause)
        self._next_abort = 0.0
        self._next_check = time.monotonic() + HEARTBEAT_CHECK_SECONDS
        self._exit_status: int | None = None

    def run(self) -> int:
        """Keep the workers running.

        Returns:
            Exit status: 0 when it was asked to stop, 130 by SIGINT, 4 when workers kept dying.
        """
        self._status.set_supervisor()
        with self._selector, handled_signals(self._selector, self._handle_signal):
            while self._exit_status is None:
                self._start_due()
                self._acceptor.watch_listener()
                self._wait()
            self._stop()
        return self._exit_status

    def _wait(self) -> None:
        """Wait for a connection, a signal, a worker's message or a time, and act on it."""
        now = time.monotonic()
        times = [self._next_check - now, *(due - now for due in self._due.values())]
        times += [self._stop_request.seconds_left(now), *self._acceptor.seconds_until_due(now)]
        events = [key for key, _ in self._selector.select(max(0.0, min(times)))]
        # Messages of workers first: they decide which worker gets the connections.
        for key in sorted(events, key=lambda key: key.data == self._acceptor.accept):
            key.data()
        self._acceptor.hand_over_held()
        self._check_stop_request()
        self._reap()
        if time.monotonic() >= self._next_check:
            self._check_heartbeats()

    # Workers

    def _start_due(self) -> None:
        now = time.monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            del self._due[number]
            try:
                self._start(number)
            except OSError as error:  # no memory, or no more processes allowed
                _log.error("a worker was not started: %s", error.strerror)
                self._due[number] = now + _FORK_RETRY_SECONDS

    def _start(self, number: int) -> None:
        ours, theirs = socket.socketpair()

        def work() -> None:
            ours.close()
            self._close_inherited()
            self._serve(number, theirs)

        pid = fork(work)
        theirs.close()
        ours.setblocking(False)
        worker = WorkerHandle(pid, ours, self._status.workers[number], time.monotonic())
        self._workers[number] = worker
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._receive(worker))

    def _close_inherited(self) -> None:
        """Close what a worker inherits.

        While it held the other end of a channel, that worker would not notice the supervisor's end.
        """
        self._selector.close()
        self._acceptor.close()
        for worker in self._workers.values():
            worker.channel.close()

    def _receive(self, worker: WorkerHandle) -> None:
        try:
            message = worker.channel.recv(64)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        worker.receive(message, time.monotonic())
        if not message:  # it takes nothing more; a signal will tell that it has ended
            self._selector.unregister(worker.channel)

    def _check_heartbeats(self) -> None:
        """End workers whose event loop stands still, one after the other.

        What makes one hang may make all of them hang: while one is replaced, the others may come
        to their senses, and a service with one worker is better than one with none.
        """
        now = time.monotonic()
        self._next_check = now + HEARTBEAT_CHECK_SECONDS
        for worker in self._workers.values():
            worker.check_heartbeat(now)
            if worker.aborted:
                os.kill(worker.pid, signal.SIGKILL)
        hanging = [worker for worker in self._workers.values() if self._hangs(worker)]
        if hanging and now >= self._next_abort:
            self._next_abort = now + _ABORT_PAUSE_SECONDS
            self._abort(max(hanging, key=lambda worker: worker.stalled_seconds))

    def _hangs(self, worker: WorkerHandle) -> bool:
        allowed = self._stop_seconds if worker.leaving else 0.0
        return not worker.aborted and (
            worker.idle_seconds >= self._hang_seconds + allowed
            or worker.stalled_seconds >= _BUSY_FACTOR * self._hang_seconds + allowed
        )

    def _abort(self, worker: WorkerHandle) -> None:
        """Send SIGABRT, on which the worker prints where each of its threads is.

        The next check sends SIGKILL, which also ends a stopped process. The successor is started
        when the worker has ended.
        """
        facts = {
            "worker": worker.number,
            "pid": worker.pid,
            "stalled_seconds": round(worker.stalled_seconds, 3),
            "idle_seconds": round(worker.idle_seconds, 3),
        }
        _log.error("worker hangs", extra=facts)
        os.kill(worker.pid, signal.SIGABRT)
        worker.aborted = True

    def _reap(self) -> None:
        for worker in list(self._workers.values()):
            pid, wait_status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._clean_up(worker)
                if self._exit_status is None:
                    self._handle_exit(worker, os.waitstatus_to_exitcode(wait_status))

    def _clean_up(self, worker: WorkerHandle) -> None:
        del self._workers[worker.number]
        if worker.channel.fileno() in self._selector.get_map():
            self._selector.unregister(worker.channel)
        worker.channel.close()
        worker.status.end()
        self._segments[worker.number].end_gauges()

    def _handle_exit(self, worker: WorkerHandle, exit_code: int) -> None:
        """Decide when the successor of a worker that has ended is started."""
        number, cause = worker.number, describe_exit(exit_code)
        lived_seconds = time.monotonic() - worker.started
        facts = {"worker": number, "pid": worker.pid, "lived_seconds": round(lived_seconds, 3)}
        _log.error("worker died", extra={**facts, "cause": cause})
        delay = self._restarts.delay_seconds(number, lived_seconds)
        if delay is None:
            _log.critical(
                "worker %d died %d times in a row within %.0f seconds of its start, last by %s;"
                " the service ends", number, MAX_EARLY_EXITS, EARLY_EXIT_SECONDS, cause,
            )  # fmt: skip
            self._exit_status = WORKERS_KEEP_DYING
            return
        self._due[number] = time.monotonic() + delay
        self._own_segment.cells(WORKER_RESTARTS)[0] += 1

    def _count_accept_failure(self) -> None:
        self._own_segment.cells(ACCEPT_FAILURES)[0] += 1

    # Signals and the end

    def _handle_signal(self, number: int) -> None:
        if number != signal.SIGCHLD:
            self._stop_request.receive(number, time.monotonic())

    def _check_stop_request(self) -> None:
        """Drain or stop, if a signal has asked for it."""
        if not self._stop_request.received or self._exit_status is not None:
            return
        seconds_left = self._stop_request.seconds_left(time.monotonic())
        if seconds_left == 0:
            self._exit_status = INTERRUPTED if self._stop_request.interrupted else 0
        elif not self._status.draining:
            self._status.start_draining()
            _log.info("draining", extra={"seconds": round(seconds_left, 3)})

    def _stop(self) -> None:
        """Let the workers finish for as long as requests get, then kill them."""
        self._acceptor.accept()  # what has come before the end
        self._acceptor.close()
        self._status.start_stopping()
        _log.info("stopping", extra={"workers": len(self._workers)})
        self._signal_all(signal.SIGTERM)
        interrupts = self._stop_request.count_of(signal.SIGINT)
        until = time.monotonic() + self._stop_seconds + _KILL_AFTER_SECONDS
        while self._workers:
            self._reap()
            interrupted_again = self._stop_request.count_of(signal.SIGINT) > interrupts
            if time.monotonic() > until or interrupted_again:
                self._signal_all(signal.SIGKILL)
            time.sleep(0.01)

    def _signal_all(self, number: int) -> None:
        for worker in self._workers.values():
            os.kill(worker.pid, number)
