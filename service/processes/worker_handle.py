"""A worker as its supervisor sees it: its channel, its connections, its heartbeat."""

import socket
from dataclasses import dataclass, field

from service.metrics.usage import read_usage
from service.process_status import WorkerStatus

SERVING = b"s"
"""What a worker sends its supervisor once it takes connections."""
HEARTBEAT_CHECK_SECONDS = 1.0
"""Time between two checks of a worker's heartbeat, of which there are ten a second."""
_LATE_CHECK_SECONDS = 2 * HEARTBEAT_CHECK_SECONDS


@dataclass(eq=False)
class WorkerHandle:
    """A worker process from its fork to its end.

    Attributes:
        pid: Its process id.
        channel: One end of a stream to it.
        status: Its slot in shared memory.
        started: When it was forked, in seconds of the monotonic clock.
        waited_for_since: Since when connections have waited for it.
        handed_over: Connections that were sent to it.
        serving: Whether it takes connections.
        leaving: Whether it has closed its end of the channel: it only finishes what it has.
        aborted: Whether it has been sent SIGABRT because its event loop stands still.
        stalled_seconds: Time for which its event loop has stood still.
        idle_seconds: The part of it in which the process did nothing: it waits for what never
            comes, or is stopped. In the rest it was busy with something long.
    """

    pid: int
    channel: socket.socket
    status: WorkerStatus
    started: float
    waited_for_since: float = field(init=False)
    handed_over: int = 0
    serving: bool = False
    leaving: bool = False
    aborted: bool = False
    stalled_seconds: float = 0.0
    idle_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Begin with what predecessors have counted in the same slot."""
        self.waited_for_since = self._checked_at = self.started
        self._received_before = self.status.connections_received
        self._heartbeats = self.status.heartbeats
        self._processor_seconds = 0.0

    @property
    def number(self) -> int:
        """Which of the workers it is."""
        return self.status.number

    @property
    def connections(self) -> int:
        """Connections that it has, including those on their way to it."""
        received = self.status.connections_received - self._received_before
        return self.handed_over - received + self.status.open_connections

    def receive(self, message: bytes, now: float) -> None:
        """Take a message from the channel.

        Args:
            message: What was read; empty when the worker has closed its end.
            now: Seconds of the monotonic clock.
        """
        self.serving |= SERVING in message
        if not message:
            self.serving, self.leaving = False, True
            self.waited_for_since = now

    def check_heartbeat(self, now: float) -> None:
        """Measure for how long its event loop has stood still.

        Opening a session may block an event loop for as long as it takes, so a worker that loads
        models does not count as stalled. Nor does the time before a check that came late: this
        process did not run either, as when the machine or the container was suspended.

        Args:
            now: Seconds of the monotonic clock.
        """
        heartbeats, elapsed = self.status.heartbeats, now - self._checked_at
        self._checked_at = now
        if heartbeats != self._heartbeats or self.status.loading:
            self._heartbeats = heartbeats
            self.stalled_seconds = self.idle_seconds = 0.0
        elif elapsed < _LATE_CHECK_SECONDS:
            self.stalled_seconds += elapsed
            if not self._is_busy():
                self.idle_seconds += elapsed

    def _is_busy(self) -> bool:
        """Say whether the process has used a processor since the last check, or waits for one."""
        usage = read_usage(self.pid)
        if usage is None:
            return False
        before, self._processor_seconds = self._processor_seconds, usage.processor_seconds
        return usage.runnable or usage.processor_seconds > before
