"""A share of each turn of the event loop for requests, so that all else gets its turn as well.

In one turn the loop serves every socket that has something to read. If each request were parsed as
soon as its body is there, a turn would last as long as all of them together, and ``/healthz``, new
connections, deadlines and heartbeats would wait for several such turns. So parsing and writing get
a few milliseconds of each turn; requests beyond that wait, in the order in which they came. How
fast they proceed says how long a further one would have to wait: those that would wait too long are
rejected by their head.

Reading large bodies takes part of the same share. What is left of a body whose request has been
rejected already is read last of all: meanwhile its client waits, as its connection is full.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from service.errors import QueueFull

TURN_SECONDS = 0.01
_MAX_TURN_SECONDS = 0.02
_NOTICED_SECONDS = TURN_SECONDS / 2
_READ_SECONDS_PER_BYTE = 0.5e-9  # copied from the socket, and once more
_READ_SECONDS = 256 * 1024 * _READ_SECONDS_PER_BYTE  # uvloop reads so many bytes at once
_REFUSAL_SECONDS = 100e-6  # with its log line
_DROP_SECONDS = 500e-6  # what is left of a rejected body, and to reject what follows it
_WEIGHT = 0.2
_FIRST_GUESS_SECONDS = 0.0025


class Turns:
    """Lets requests proceed turn by turn.

    Below ``TURN_SECONDS`` of work in one turn nothing waits, and no callback is scheduled but one
    in each half of that. Where all else takes longer, so may requests, up to
    ``_MAX_TURN_SECONDS``.

    Attributes:
        waiting: How many requests wait, without those whose client has left.
        is_over: Whether a request has to wait for another turn.
    """

    def __init__(self, max_wait_seconds: float) -> None:
        """Begin with nothing to do.

        Args:
            max_wait_seconds: Expected wait beyond which ``check`` rejects.
        """
        self.waiting = 0
        self.is_over = False
        self._max_wait_seconds = max_wait_seconds
        self._queue: deque[asyncio.Future[None]] = deque()
        self._readers: deque[Callable[[], None]] = deque()
        self._droppers: deque[Callable[[], None]] = deque()
        self._budget = TURN_SECONDS
        self._spent = 0.0
        self._scheduled = False
        self._proceeded = 0
        self._turn_started = 0.0
        self._work_seconds = self._pace_seconds = _FIRST_GUESS_SECONDS

    @property
    def expected_wait_seconds(self) -> float:
        """How long a further request would wait, at the present pace."""
        return self.waiting * self._pace_seconds

    def check(self) -> None:
        """Check whether a further request would wait too long.

        Raises:
            QueueFull: It would.
        """
        if (seconds := self.expected_wait_seconds) > self._max_wait_seconds:
            raise QueueFull(f"{self.waiting} requests wait already; more would wait long", seconds)

    def spend(self, seconds: float) -> None:
        """Count work of this turn."""
        self._spent += seconds
        # What has been spent is that of several short turns until a turn of ours begins.
        if self._spent >= _NOTICED_SECONDS:
            self._schedule()
            if self._spent >= self._budget:
                self.is_over = True

    def spend_reading(self, body_bytes: int) -> None:
        """Count a piece of a large body that was read in this turn."""
        self.spend(body_bytes * _READ_SECONDS_PER_BYTE)

    def spend_refusing(self) -> None:
        """Count a request that was answered by its head, with others right behind it."""
        self.spend(_REFUSAL_SECONDS)

    def resume_later(self, resume: Callable[[], None], *, wanted: bool, begun: bool) -> None:
        """Have a body, or what came behind a request, read on in a later turn.

        Args:
            resume: Reads on.
            wanted: Whether its request is still to be answered.
            begun: Whether it has been read on before: bodies are read to their end one after
                another, rather than all at once and all late.
        """
        waiting = self._readers if wanted else self._droppers
        if begun:
            waiting.appendleft(resume)
        else:
            waiting.append(resume)
        self._schedule()

    async def wait(self) -> None:
        """Return in a later turn, behind all that wait already.

        Raises:
            QueueFull: It would wait too long.
        """
        self.check()
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._queue.append(turn)
        self.waiting += 1
        self.is_over = True
        self._schedule()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self.waiting -= 1
            raise

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        """Let as many requests proceed as a turn has room for, by what one cost lately."""
        self._scheduled = False
        now = time.perf_counter()
        # Responses are written when they are ready.
        overspent = max(0.0, self._spent - self._budget)
        self._budget = TURN_SECONDS
        if self._proceeded:
            # As long as all else takes: rejecting ten times the load must not crowd out the rest.
            others = now - self._turn_started - self._spent
            self._budget = min(max(others, TURN_SECONDS), _MAX_TURN_SECONDS)
            self._observe(now)
        self._spent = 0.0
        self._turn_started = now
        room = self._budget - overspent
        while self._queue and (room > 0 or not self._proceeded):
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                self.waiting -= 1
                self._proceeded += 1
                room -= self._work_seconds
        for bodies, cost in ((self._readers, _READ_SECONDS), (self._droppers, _DROP_SECONDS)):
            if bodies:  # at least one of either kind, so that neither starves
                bodies.popleft()()
                room -= cost
            while bodies and room > self._spent:  # what is resumed may work at once
                bodies.popleft()()
                room -= cost
        self.is_over = self.waiting > 0
        if self._proceeded or self._readers or self._droppers:
            self._schedule()

    def _observe(self, now: float) -> None:
        work = self._spent / self._proceeded
        pace = (now - self._turn_started) / self._proceeded
        self._work_seconds += _WEIGHT * (work - self._work_seconds)
        self._work_seconds = max(work, self._work_seconds)  # large bodies may be followed by more
        self._pace_seconds += _WEIGHT * (pace - self._pace_seconds)
        self._proceeded = 0
