"""One life of a worker, as its supervisor sees it: what it says, what it has, whether it moves."""

import socket
from dataclasses import dataclass, field

from service.metrics.recorder import ConnectionMeter, Heartbeat

SERVING = b"s"
"""What a worker tells its supervisor once it takes connections."""
LOADED = b"l"
"""What it tells once every bundle has been loaded or refused."""
HEARTBEAT_CHECK_SECONDS = 1.0
"""Time between two looks at a worker's heartbeat, which has ten beats a second."""
_LATE_CHECK_SECONDS = 2 * HEARTBEAT_CHECK_SECONDS


@dataclass(eq=False)
class WorkerHandle:
    """What the supervisor knows of a worker from its fork to its end.

    Attributes:
        number: Which of the workers it is.
        pid: Its process id.
        channel: One end of a stream to it.
        meter: Counts its connections.
        heartbeat: Beats while its event loop turns.
        started: When it was forked, in seconds of the monotonic clock.
        waited_for_since: Since when connections have waited for it.
        handed: Connections that were handed to it.
        serving: Whether it takes connections.
        loaded: Whether it has loaded or refused every bundle.
        leaving: Whether it has closed its end: it only finishes what it has.
        aborted: Whether it has been told to end because it does not move.
        stalled_seconds: Time since its event loop turned.
    """

    number: int
    pid: int
    channel: socket.socket
    meter: ConnectionMeter
    heartbeat: Heartbeat
    started: float
    waited_for_since: float = field(init=False)
    handed: int = 0
    serving: bool = False
    loaded: bool = False
    leaving: bool = False
    aborted: bool = False
    stalled_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Begin with what its predecessors left in the same memory."""
        self.waited_for_since = self._checked_at = self.started
        self._taken_before = self.meter.taken
        self._beats = self.heartbeat.beats

    @property
    def connections(self) -> int:
        """Connections that it has, those on their way to it included."""
        return self.handed - (self.meter.taken - self._taken_before) + self.meter.open

    def receive(self, message: bytes, now: float) -> None:
        """Take in what it says; nothing is its last word.

        Args:
            message: What came through the channel.
            now: Seconds of the monotonic clock.
        """
        self.serving |= SERVING in message
        self.loaded |= LOADED in message
        if not message:
            self.serving, self.leaving = False, True
            self.waited_for_since = now

    def check_heartbeat(self, now: float) -> None:
        """Notice whether its event loop has turned since the last look.

        Opening a session may hold an event loop up for as long as it takes, so a worker that
        loads for itself is not suspected. Nor is anyone after a look that came late: then this
        process did not run either, as when the machine or the container was suspended.

        Args:
            now: Seconds of the monotonic clock.
        """
        beats, elapsed = self.heartbeat.beats, now - self._checked_at
        self._checked_at = now
        loads = self.serving and not self.loaded
        if beats != self._beats or loads:
            self._beats = beats
            self.stalled_seconds = 0.0
        elif elapsed < _LATE_CHECK_SECONDS:
            self.stalled_seconds += elapsed
