"""Cuts what comes on a connection into requests: their heads, and their bodies in pieces."""

import re
import time
from typing import Protocol, cast

from service.api.http1.chunked_body import ChunkedBody
from service.api.http1.length_body import LengthBody
from service.api.http1.request_head import (
    END_OF_HEAD,
    MAX_HEAD_BYTES,
    PartialHead,
    RequestHead,
    read_head,
)
from service.errors import RequestError

_MAX_KEPT_HEAD_BYTES = 1024
_LINE_END_BYTES = b"\r\n"
_LINE_ENDS = re.compile(rb"[\r\n]{1,64}")


class RequestTaker(Protocol):
    """Takes the requests of a connection, one after another."""

    @property
    def is_turn_over(self) -> bool:
        """Whether what is left has to wait for another turn of the event loop."""
        ...

    def spend(self, seconds: float) -> None:
        """Take that reading has taken so much of this turn."""
        ...

    def spend_refusing(self) -> None:
        """Take that a request was answered by its head, with others right behind it."""
        ...

    def begin(self, head: RequestHead, body: bytes | None) -> None:
        """Take a head, and its whole body if that has come; else it follows in pieces."""
        ...

    def take(self, piece: bytes) -> None:
        """Take a piece of the body."""
        ...

    def end_body(self) -> None:
        """Take that all of the body has come."""
        ...

    def wait_for_head(self, since: float) -> None:
        """Take that the beginning of a head has come.

        Args:
            since: ``time.monotonic()``.
        """
        ...

    def refuse(self, error: RequestError) -> None:
        """Take that what has come is no request."""
        ...

    def refuse_body(self, error: RequestError) -> None:
        """Take that the body that is on its way is none."""
        ...


class Framing:
    """Reads requests until one has to wait, for the response before it or for its turn.

    Attributes:
        body: The body that is on its way, if one is.
        held: What has come and waits.
        waits: Whether the next request has to wait; set here when one begins, and cleared by
            whoever has answered it.
    """

    def __init__(self) -> None:
        """Begin before the first request."""
        self.body: LengthBody | ChunkedBody | None = None
        self.held = b""
        self.waits = False
        self._is_stopped = False
        self._partial_head: PartialHead | None = None
        self._last_raw_head = b""  # clients send the same head over and over
        self._last_head: RequestHead | None = None

    @property
    def is_in_head(self) -> bool:
        """Whether a head has begun to come and not ended."""
        return self._partial_head is not None

    def read(self, data: bytes, taker: RequestTaker) -> None:
        """Read what has come.

        Args:
            data: What has come.
            taker: Takes the requests; the same each time.
        """
        if self.held:
            self.held += data  # from before reading was paused
            return
        if (partial := self._partial_head) is not None:
            self._keep_head(partial, data, taker)
            if self._is_stopped or not partial.is_whole:
                return
            data, self._partial_head = partial.content, None
        position = 0
        while position < len(data) and not self._is_stopped:
            if position and taker.is_turn_over:
                self.held = data[position:]
                return
            if self.body is not None:
                position = self._read_body(self.body, data, position, taker)
            elif self.waits:
                self.held = data[position:]
                return
            else:
                if data[position] in _LINE_END_BYTES:
                    position = _skip_line_ends(data, position)
                position = self._read_head(data, position, taker)
                if position < len(data) and not self.waits and self.body is None:
                    taker.spend_refusing()

    def read_held(self, taker: RequestTaker) -> None:
        """Read what waited."""
        held, self.held = self.held, b""
        if held:
            self.read(held, taker)

    def stop(self) -> None:
        """Read nothing more, and forget what waits."""
        self._is_stopped = True
        self.held = b""
        self._partial_head = None

    def _read_head(self, data: bytes, position: int, taker: RequestTaker) -> int:
        end = data.find(END_OF_HEAD, position) + len(END_OF_HEAD)
        if end < len(END_OF_HEAD):
            if position < len(data):
                taker.wait_for_head(time.monotonic())
                self._partial_head = PartialHead()
                self._keep_head(self._partial_head, data[position:], taker)
            return len(data)
        raw_head = data[position:end]
        head = self._last_head if raw_head == self._last_raw_head else self._parse(raw_head, taker)
        if head is None:
            return end
        self.waits = True
        last = end + head.body_bytes
        if last <= len(data) and not head.is_chunked:
            taker.begin(head, data[end:last])
            return last
        self.body = ChunkedBody(MAX_HEAD_BYTES) if head.is_chunked else LengthBody(head.body_bytes)
        taker.begin(head, None)
        return end

    def _keep_head(self, partial: PartialHead, data: bytes, taker: RequestTaker) -> None:
        """Keep the beginning of a head, unless it is too long or not one at all."""
        partial.add(data)
        if partial.is_malformed or (len(partial) > MAX_HEAD_BYTES and not partial.is_whole):
            self._parse(partial.content, taker)  # which says what is wrong

    def _parse(self, raw_head: bytes, taker: RequestTaker) -> RequestHead | None:
        """Parse a head, or say why what came is none."""
        try:
            head = read_head(raw_head)
        except RequestError as error:
            taker.refuse(error)
            return None
        if len(raw_head) <= _MAX_KEPT_HEAD_BYTES:
            self._last_raw_head, self._last_head = raw_head, head
        return head

    def _read_body(
        self, body: LengthBody | ChunkedBody, data: bytes, position: int, taker: RequestTaker
    ) -> int:
        started = time.perf_counter()
        try:
            position = body.feed(data, position)
        except RequestError as error:
            taker.refuse_body(error)
            return len(data)
        for piece in body.take_content():
            taker.take(piece)
        taker.spend(time.perf_counter() - started)
        if body.is_complete:
            self.body = None
            taker.end_body()
        return position


def _skip_line_ends(data: bytes, position: int) -> int:
    """Skip a few line ends, which some clients send between two requests."""
    return cast("re.Match[bytes]", _LINE_ENDS.match(data, position)).end()
