"""Asks a service again and again whether it is alive, while something else goes on."""

import threading
import time
from types import TracebackType
from typing import Self

import httpx

from tests.end_to_end.servers import Server

_PAUSE_SECONDS = 0.02
_GIVE_UP_SECONDS = 30.0


class Probe:
    """``with Probe(server) as probe: ...``: probes until the block ends.

    Attributes:
        seconds: How long each answer took.
    """

    def __init__(self, server: Server) -> None:
        self.seconds: list[float] = []
        self._server = server
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    @property
    def slowest_seconds(self) -> float:
        return max(self.seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._server.url, timeout=_GIVE_UP_SECONDS) as client:
            while not (self.seconds and self._stopped.is_set()):
                started = time.monotonic()
                assert client.get("/healthz").status_code == 200
                self.seconds.append(time.monotonic() - started)
                self._stopped.wait(_PAUSE_SECONDS)
