"""Requests that need not be read, because one like them has just been rejected.

Which graph a request is for, and how long it would wait there, is known when its body has been read
and parsed. Under ten times the load a service could take, that alone would take all of its time. A
graph's queue that rejects a request says when it will take such a request again; until then those
with the same head are rejected before their body is read.
"""

import time

from service.errors import QueueFull

_MAX_KEPT = 256

Key = tuple[str, bytes, int]
"""Path, query and the binary order of magnitude of the body's bytes: rows, roughly."""


class Refusals:
    """Heads of requests that were rejected a moment ago.

    Attributes:
        is_any: Whether there are any.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.is_any = False
        self._latest = 0.0
        self._until: dict[Key, tuple[float, QueueFull]] = {}

    def add(self, key: Key, error: QueueFull) -> None:
        """Remember why a request was rejected, as long as the next one like it would be too."""
        if error.clears_in_seconds <= 0:
            return
        if len(self._until) >= _MAX_KEPT:
            self._until.clear()
        until = time.monotonic() + error.clears_in_seconds
        self._latest = max(self._latest, until)
        self._until[key] = (until, error)
        self.is_any = True

    def check(self, key: Key) -> None:
        """Check whether a request like this one has just been rejected.

        Raises:
            QueueFull: It was, and would be again.
        """
        now = time.monotonic()
        if now > self._latest:
            self._until.clear()
            self.is_any = False
        until, error = self._until.get(key, (0.0, None))
        if error is not None and now < until:
            raise QueueFull(str(error), error.retry_after_seconds)
