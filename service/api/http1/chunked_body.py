"""The content of a chunked body, found in pieces as they come (RFC 9112, section 7.1).

What frames the content is dropped, and bounded: without bounds its sender decides how much memory
and time a request takes.
"""

import re

from service.errors import HeadTooLarge, MalformedBody

MAX_CHUNKS = 100_000
"""Chunks of one body: each costs about a microsecond of the event loop, however small it is."""
_MAX_CHUNKS_AT_ONCE = 1000
_MAX_SIZE_LINE_BYTES = 1024  # with extensions, which nobody uses
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_LINE_END = b"\r\n"
_STRAY_LINE_END = re.compile(rb"[\r\n\0]")  # where others may see the end of the body


class ChunkedBody:
    """Takes the bytes of a body and keeps its content until that is taken away.

    Attributes:
        is_complete: Whether its end has come.
    """

    def __init__(self, max_trailer_bytes: int) -> None:
        """Begin before the first chunk.

        Args:
            max_trailer_bytes: Bytes of the fields behind the last chunk, which are dropped.
        """
        self.is_complete = False
        self._max_trailer_bytes = max_trailer_bytes
        self._content: list[bytes] = []
        self._begun = b""  # a line that has not ended
        self._chunks = 0
        self._missing_bytes = 0  # of a chunk, with the line end behind its content
        self._in_trailers = False
        self._trailer_bytes = 0

    def take_content(self) -> list[bytes]:
        """Take away what has come of the content."""
        content, self._content = self._content, []
        return content

    def feed(self, data: bytes, position: int) -> int:
        """Take the bytes from a position on, as far as that takes no long time.

        Returns:
            The position behind what was taken.

        Raises:
            MalformedBody: They are no chunks, or too many.
            HeadTooLarge: The trailers are too long.
        """
        if self._begun:
            data, taken = self._begun + data[position:], position - len(self._begun)
            position, self._begun = 0, b""
        else:
            taken = 0
        last_chunk = self._chunks + _MAX_CHUNKS_AT_ONCE
        while position < len(data) and not self.is_complete and self._chunks < last_chunk:
            if self._missing_bytes:
                position = self._read_chunk(data, position)
            elif self._in_trailers:
                position = self._read_trailer(data, position)
            else:
                position = self._read_size(data, position)
        return position + taken

    def _read_size(self, data: bytes, position: int) -> int:
        line = _SIZE_LINE.match(data, position)
        if line is None:
            self._begun = data[position:]
            ends = _LINE_END[:1] in self._begun[:-1] or b"\n" in self._begun
            if ends or len(self._begun) > _MAX_SIZE_LINE_BYTES:
                raise MalformedBody("the body is not in chunks as its Transfer-Encoding says")
            return len(data)
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            raise MalformedBody(f"the body is cut into more than {MAX_CHUNKS} chunks")
        length = int(line[1], 16)
        self._in_trailers = length == 0
        self._missing_bytes = length + len(_LINE_END) if length else 0
        return line.end()

    def _read_chunk(self, data: bytes, position: int) -> int:
        piece = data[position : position + self._missing_bytes]
        self._missing_bytes -= len(piece)
        # The line end behind the content may be cut in two.
        behind = min(len(piece), max(0, len(_LINE_END) - self._missing_bytes))
        content, end = piece[: len(piece) - behind], piece[len(piece) - behind :]
        begin = len(_LINE_END) - self._missing_bytes - behind
        if behind and end != _LINE_END[begin : begin + behind]:
            raise MalformedBody("a chunk of the body is longer than its size says")
        if content:
            self._content.append(content)
        return position + len(piece)

    def _read_trailer(self, data: bytes, position: int) -> int:
        end = data.find(_LINE_END, position)
        if end < 0:
            self._begun = data[position:]
            self._check_trailers(len(self._begun))
            return len(data)
        self._trailer_bytes += end + len(_LINE_END) - position
        self._check_trailers(0)
        if _STRAY_LINE_END.search(data, position, end):
            raise MalformedBody("the fields behind the body have a line end that is none")
        self.is_complete = end == position
        return end + len(_LINE_END)

    def _check_trailers(self, begun_bytes: int) -> None:
        if self._trailer_bytes + begun_bytes > self._max_trailer_bytes:
            raise HeadTooLarge(
                f"the fields behind the body have more than {self._max_trailer_bytes} bytes"
            )
