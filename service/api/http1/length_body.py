"""The content of a body that its length frames."""


class LengthBody:
    """Takes as many bytes as the head has announced; see ``ChunkedBody``.

    Attributes:
        is_complete: Whether its end has come.
    """

    __slots__ = ("_content", "_missing_bytes", "is_complete")

    def __init__(self, length: int) -> None:
        """Begin before the first of so many bytes, at least one."""
        self.is_complete = False
        self._missing_bytes = length
        self._content: list[bytes] = []

    def take_content(self) -> list[bytes]:
        """Take away what has come of the content."""
        content, self._content = self._content, []
        return content

    def feed(self, data: bytes, position: int) -> int:
        """Take the bytes from a position on; return the position behind those it took."""
        piece = data[position : position + self._missing_bytes]
        self._missing_bytes -= len(piece)
        self.is_complete = not self._missing_bytes
        self._content.append(piece)
        return position + len(piece)
