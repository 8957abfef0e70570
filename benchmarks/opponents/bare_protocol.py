"""The least a Python server of a graph can do: parse HTTP, run what came together, write numbers.

Nothing is checked, counted, named or limited, so no service in Python that answers over the same
sockets gets past it by much. uvicorn runs it in place of its own protocol (``--http``).
"""

import asyncio
import os
from typing import Any

import httptools
import numpy as np
import onnxruntime

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = _options.inter_op_num_threads = 1
_session = onnxruntime.InferenceSession(os.environ["MODEL"], _options)
_row_shape = _session.get_inputs()[0].shape[1:]
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n"


class BareProtocol(asyncio.Protocol):
    """Answers float32 rows, row-major and little-endian, and whatever else with nothing."""

    _waiting: list[tuple["BareProtocol", Any]] = []  # noqa: RUF012  # of all connections

    def __init__(self, **_: object) -> None:
        """Take no notice of what uvicorn gives to its protocols."""
        self._parser = httptools.HttpRequestParser(self)
        self._pieces: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Queue the rows for the loop's next turn, when others may have come."""
        pieces, self._pieces = self._pieces, []
        if not pieces:
            self.transport.write(_HEAD % 0)
            return
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._waiting.append((self, np.frombuffer(body, np.float32).reshape(-1, *_row_shape)))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._answer_all)

    @classmethod
    def _answer_all(cls) -> None:
        batch, cls._waiting = cls._waiting, []
        rows = batch[0][1] if len(batch) == 1 else np.concatenate([part for _, part in batch])
        (outputs,) = _session.run(None, {"inputs": rows})
        last = 0
        for connection, part in batch:
            first, last = last, last + len(part)
            own = np.asarray(outputs)[first:last]
            connection.transport.writelines((_HEAD % own.nbytes, own.reshape(-1).data.cast("B")))
