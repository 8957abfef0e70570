"""Writes log lines on a thread of its own: whoever logs never waits for whoever reads.

A pipe that is not read, a disk that is full and a terminal that is stopped would otherwise stop an
event loop, or the supervisor, in the middle of a line.

The thread runs nothing but `get` and `write` and holds no lock, so that the process can be forked
at any time. The fork starts with an empty queue, and with a thread of its own at its first line.
"""

import logging
import os
import select
import threading
import time
import weakref
from queue import SimpleQueue
from typing import TextIO

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""Maximum size of the lines that wait to be written; lines beyond it are dropped and counted."""
FLUSH_SECONDS = 1.0
"""Maximum time for which the end of a program waits for its last lines to be written."""
_BYTES_PER_LINE = 64  # of memory, beside its text
_ATOMIC_BYTES = 4096  # PIPE_BUF: lines of several processes in one pipe are not mixed up to here
_FLUSH_CHECK_SECONDS = 0.002
_GATHER_SECONDS = 0.005  # a thread that wakes up for each line makes requests wait for it

_handlers: "weakref.WeakSet[QueuedLogHandler]" = weakref.WeakSet()


class QueuedLogHandler(logging.Handler):
    """Renders records where they are logged, and queues their lines for the writer thread.

    Lines keep their order. When the queue is full the newest are dropped until it is half empty;
    the next line comes behind one that says how many are missing.

    Attributes:
        dropped: Lines of this process that were not written.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to the file descriptor of a stream.

        Args:
            stream: Where the lines go, in its encoding.

        Raises:
            OSError: It has no file descriptor.
        """
        super().__init__()
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self._start_anew()
        _handlers.add(self)

    @property
    def dropped(self) -> int:
        """Lines of this process that found the queue full, or could not be written."""
        return self._rejected + self._lost

    @property
    def has_thread(self) -> bool:
        """Whether its thread runs; it is started at the first line."""
        return self._thread is not None

    def count_drops_in(self, cells: "memoryview[float]") -> None:
        """Count dropped lines in a metric too, those of this process so far included.

        Args:
            cells: One number, which no other process writes to.
        """
        self._cells, self._counted_before = cells, cells[0]
        self._publish_drops()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record's line."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  # of whatever was logged; the handler's own would print
            line = self._render_anew(record, "a log record could not be rendered")
        missing = self.dropped - self._reported
        if missing and not self._failing:
            if self._waiting_bytes > MAX_QUEUED_BYTES // 2:  # few gaps rather than many
                self._reject()
                return
            notice = self._render_anew(
                record, "log lines were dropped", level=logging.WARNING, lines=missing
            )
            self._reported += missing
            self._queue(notice)
        if not self._queue(line):
            self._reject()

    def flush(self) -> None:
        """Wait until every line is written, or for as long as the end of a program may take."""
        until = time.monotonic() + FLUSH_SECONDS
        while self._written_bytes < self._queued_bytes and time.monotonic() < until:
            if self._thread is None:  # none could be started
                return
            time.sleep(_FLUSH_CHECK_SECONDS)

    def close(self) -> None:
        """End the thread when it has written what is queued."""
        self._lines.put(None)
        self._thread = None
        super().close()

    def _start_anew(self) -> None:
        """Begin without lines and without a thread: at first, and in a process just forked."""
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._cells: memoryview[float] | None = None
        self._counted_before = 0.0
        # Each number is written by one thread: these by who logs, in turn, ...
        self._queued_bytes = self._rejected = self._reported = 0
        # ... and these by the writer.
        self._written_bytes = self._lost = 0
        self._failing = self._within_line = False

    @property
    def _waiting_bytes(self) -> int:
        return self._queued_bytes - self._written_bytes

    def _queue(self, line: str) -> bool:
        """Queue a line if there is room."""
        encoded = (line + "\n").encode(self._encoding, "backslashreplace")
        size = len(encoded) + _BYTES_PER_LINE
        if self._waiting_bytes and self._waiting_bytes + size > MAX_QUEUED_BYTES:
            return False
        self._queued_bytes += size
        self._lines.put(encoded)
        if self._thread is None:
            self._start_thread()
        return True

    def _start_thread(self) -> None:
        thread = threading.Thread(
            target=self._write_lines, args=(self._lines,), name="log writer", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads are allowed now; the next line tries again
            return
        self._thread = thread

    def _render_anew(
        self, record: logging.LogRecord, message: str, level: int | None = None, **facts: int
    ) -> str:
        """Render another message of the same logger and time, with nothing else of the record."""
        level = record.levelno if level is None else level
        other = logging.LogRecord(
            record.name, level, record.pathname, record.lineno, message, (), None
        )
        other.__dict__.update(facts)
        return self.format(other)

    def _reject(self) -> None:
        self._rejected += 1
        self._publish_drops()

    def _publish_drops(self) -> None:
        if self._cells is not None:
            self._cells[0] = self._counted_before + self.dropped

    # On the writer's thread

    def _write_lines(self, lines: "SimpleQueue[bytes | None]") -> None:
        while (chunk := lines.get()) is not None:
            time.sleep(_GATHER_SECONDS)
            count = 1
            while not lines.empty():
                line = lines.get()
                if line is None:
                    self._write(chunk, count)
                    return
                if len(chunk) + len(line) > _ATOMIC_BYTES:
                    self._write(chunk, count)
                    chunk, count = line, 1
                else:
                    chunk, count = chunk + line, count + 1
            self._write(chunk, count)

    def _write(self, chunk: bytes, count: int) -> None:
        rest = memoryview(b"\n" + chunk if self._within_line else chunk)
        whole = len(rest)
        try:
            while rest:
                rest = rest[self._write_some(rest) :]
        except OSError:  # the reader is gone, or the disk is full: the next line tries again
            self._failing = True
            self._within_line |= len(rest) < whole
            self._lost += count
            self._publish_drops()
        else:
            self._failing = self._within_line = False
        self._written_bytes += len(chunk) + count * _BYTES_PER_LINE

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # another program that shares the pipe has set O_NONBLOCK
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll()
            return 0


def count_log_threads() -> int:
    """Count the writer threads of this process, which may be forked beside."""
    return sum(handler.has_thread for handler in _handlers)


def _start_anew_after_fork() -> None:
    for handler in _handlers:
        handler._start_anew()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # same module


os.register_at_fork(after_in_child=_start_anew_after_fork)
