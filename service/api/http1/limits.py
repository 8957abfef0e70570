"""What a connection may take of time, and how many there may be."""

from dataclasses import dataclass

from service.settings import Settings


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of the connections of one process.

    Attributes:
        max_connections: That are open at a time.
        head_seconds: From the opening of a connection, or the first byte of a head, to its end.
        keep_alive_seconds: From a response to the next request.
        stall_seconds: In which bodies and responses have to go on.
        min_progress_bytes: By which they have to go on in that time, where more is left.
        discard_seconds: In which what is left of a refused body is read and dropped.
        linger_seconds: In which a connection that ends still reads, so that the client sees the
            response rather than a reset.
    """

    max_connections: int
    head_seconds: float
    keep_alive_seconds: float
    stall_seconds: float
    min_progress_bytes: float
    discard_seconds: float = 10.0
    linger_seconds: float = 2.0

    @classmethod
    def of(cls, settings: Settings) -> "ConnectionLimits":
        """Take the limits from the settings."""
        return cls(
            settings.max_connections,
            settings.head_timeout_seconds,
            settings.keep_alive_seconds,
            settings.stall_timeout_seconds,
            settings.stall_timeout_seconds * settings.min_bytes_per_second,
        )
