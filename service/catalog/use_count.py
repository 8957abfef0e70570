"""How many requests use a model, so that it is closed after the last of them."""

import asyncio
from types import TracebackType


class UseCount:
    """Counts those who have entered and not left: ``with use_count: ...``.

    May be entered again by any number of tasks of one event loop.
    """

    __slots__ = ("_count", "_unused")

    def __init__(self) -> None:
        """Begin unused."""
        self._count = 0
        self._unused: asyncio.Event | None = None

    def __enter__(self) -> None:
        """Count one more."""
        self._count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Count one less."""
        self._count -= 1
        if self._count == 0 and self._unused is not None:
            self._unused.set()

    async def wait_until_unused(self) -> None:
        """Return when everyone who has entered has left."""
        while self._count:
            self._unused = asyncio.Event()
            await self._unused.wait()
        self._unused = None
