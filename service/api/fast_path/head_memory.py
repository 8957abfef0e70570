"""The head of a connection's last request, byte for byte.

Clients send the same head over and over on a connection, and to parse it costs more than to answer
many a request. Bytes that begin with the whole head of a request mean what they meant before.
"""

from service.api.fast_path.exchange import Exchange
from service.api.pipeline import Head

_END_OF_HEAD = b"\r\n\r\n"


class HeadMemory:
    """Learns heads while a parser reads requests, and knows the last one again.

    What the parser was given for one request is its head and its body and nothing else, if no
    other request began in it and no ``Transfer-Encoding`` frames the body. So the head is what is
    left without as many bytes as the body had. It is kept only if it ends where a head ends, and
    nowhere before: else there were line ends around the request that belong to neither.

    Attributes:
        head: What the last head says; None when it is not known.
        body_bytes: Length of the body that follows it.
    """

    __slots__ = (
        "_begun",
        "_bytes",
        "_ended",
        "_fed_bytes",
        "_first",
        "_parsing",
        "body_bytes",
        "head",
    )

    def __init__(self) -> None:
        """Know no head yet."""
        self.head: Head | None = None
        self.body_bytes = 0
        self._bytes = b""
        self._first = b""
        self._fed_bytes = 0
        self._begun = 0
        self._parsing = False
        self._ended: Exchange | None = None

    def knows(self, data: bytes) -> bool:
        """Whether data begins with the head that is known, and the parser waits for a request."""
        return self.head is not None and not self._parsing and data.startswith(self._bytes)

    def body_of(self, data: bytes) -> bytes | memoryview:
        """Return what follows the known head; the whole body as bytes."""
        begin = len(self._bytes)
        if len(data) == begin + self.body_bytes:
            return data[begin:]
        return memoryview(data)[begin:]

    def begin(self, data: bytes) -> None:
        """Take note of data that the parser is about to get."""
        if not self._parsing:
            self._first = data
            self._fed_bytes = self._begun = 0
            self._ended = None
        self._fed_bytes += len(data)

    def message_begins(self) -> None:
        """Take note of the parser's word that a request begins."""
        self._begun += 1
        self._parsing = True

    def message_ends(self, exchange: Exchange | None) -> None:
        """Take note of the parser's word that a request has ended; the exchange, on our way."""
        self._parsing = False
        self._ended = exchange

    def end(self) -> None:
        """Learn the head, if the parser has now been given a whole request and no more."""
        exchange, self._ended = self._ended, None
        if self._parsing:
            return
        first, self._first = self._first, b""
        if exchange is None or self._begun != 1:
            return
        if not exchange.keep_alive or b"transfer-encoding" in exchange.head.headers:
            return
        length = self._fed_bytes - exchange.body_bytes
        found = first[:length]
        if len(found) == length and found.find(_END_OF_HEAD) == length - len(_END_OF_HEAD):
            self.head = exchange.head
            self._bytes = found
            self.body_bytes = exchange.body_bytes
