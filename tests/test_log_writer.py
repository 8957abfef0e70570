"""The log's writer thread: in order, bounded, counted, and no danger to a fork."""

import errno
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import log_writer
from service.log_writer import FLUSH_SECONDS, QueuedLogHandler, count_log_threads


class Pipe:
    """A pipe, and a handler that writes to it.

    Attributes:
        handler: What is tested.
        logger: A logger whose only handler it is.
    """

    def __init__(self) -> None:
        self.read_end, write_end = os.pipe()
        self.stream = os.fdopen(write_end, "w", encoding="utf-8")
        self.handler = QueuedLogHandler(self.stream)
        self.logger = logging.getLogger("of the test")
        self.logger.handlers = [self.handler]
        self.logger.propagate = False
        self.logger.setLevel(logging.DEBUG)

    def fill(self) -> None:
        """Leave no room for another line."""
        os.set_blocking(self.stream.fileno(), False)
        for size in (65536, 1):
            try:
                while True:
                    os.write(self.stream.fileno(), b"-" * size)
            except BlockingIOError:
                pass
        os.set_blocking(self.stream.fileno(), True)

    def close(self) -> None:
        """Close both ends, when the writer has ended: it gets an error if it waits."""
        if self.read_end >= 0:
            os.close(self.read_end)
        writer = self.handler._thread
        self.handler.close()
        if writer is not None:
            writer.join(60)
        self.stream.close()

    def read(self, until: str) -> str:
        text = b""
        while until.encode() not in text:
            text += os.read(self.read_end, 65536)
        return text.decode().lstrip("-")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_lines_come_in_their_order(pipe: Pipe) -> None:
    for number in range(1000):
        pipe.logger.info("line %d", number)

    expected = [f"line {number}" for number in range(1000)]
    assert pipe.read("line 999\n").splitlines() == expected


def test_lines_of_several_threads_are_all_written(pipe: Pipe) -> None:
    def log(name: int) -> None:
        for number in range(200):
            pipe.logger.info("%d: %d", name, number)

    threads = [threading.Thread(target=log, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.logger.info("end")
    lines = pipe.read("end\n").splitlines()

    assert len(lines) == 801
    for name in range(4):
        own = [line for line in lines if line.startswith(f"{name}: ")]
        assert own == [f"{name}: {number}" for number in range(200)]


def test_whoever_logs_does_not_wait_and_what_is_missing_is_said_and_counted(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "MAX_QUEUED_BYTES", 10_000)
    cells = memoryview(bytearray(8)).cast("d")
    cells[0] = 5.0  # of a predecessor
    pipe.handler.count_drops_in(cells)
    pipe.fill()
    for number in range(1000):
        pipe.logger.info("line %d", number)
    dropped = pipe.handler.dropped

    assert 800 < dropped < 1000
    assert cells[0] == 5.0 + dropped
    text = pipe.read(f"line {999 - dropped}\n")
    pipe.handler.flush()
    pipe.logger.info("after")
    text += pipe.read("after\n")
    kept = [f"line {number}" for number in range(1000 - dropped)]
    assert text.splitlines() == [*kept, "log lines were dropped", "after"]


def test_the_bound_is_in_bytes_and_one_line_of_any_size_is_written(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "MAX_QUEUED_BYTES", 1000)
    pipe.logger.info("%s end", "a" * 100_000)

    assert len(pipe.read(" end\n")) == 100_005
    assert pipe.handler.dropped == 0


def test_waiting_for_the_last_lines_ends_in_time(pipe: Pipe) -> None:
    pipe.fill()
    pipe.logger.info("last")
    started = time.monotonic()
    pipe.handler.flush()

    assert FLUSH_SECONDS <= time.monotonic() - started < FLUSH_SECONDS + 5


def test_the_last_lines_are_written_before_waiting_ends(pipe: Pipe) -> None:
    for number in range(100):
        pipe.logger.info("line %d", number)
    pipe.handler.flush()

    assert os.read(pipe.read_end, 65536).endswith(b"line 99\n")


def test_lines_for_which_there_is_no_reader_are_lost_and_counted(pipe: Pipe) -> None:
    os.close(pipe.read_end)
    pipe.read_end = -1
    for number in range(10):
        pipe.logger.info("line %d", number)
    pipe.handler.flush()

    assert pipe.handler.dropped == 10


def test_a_disk_that_is_full_for_a_while_costs_the_lines_of_that_time(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def fail(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full", str(descriptor), len(data))

    def write_a_part(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", fail)
        return write(descriptor, data[:3])

    monkeypatch.setattr(os, "write", write_a_part)
    for text in ("first", "second"):
        pipe.logger.info(text)
        pipe.handler.flush()
    monkeypatch.setattr(os, "write", write)
    for text in ("third", "fourth"):
        pipe.logger.info(text)
        pipe.handler.flush()

    assert pipe.read("fourth\n") == "fir\nthird\nlog lines were dropped\nfourth\n"


def test_a_pipe_that_another_program_has_made_non_blocking_loses_nothing(pipe: Pipe) -> None:
    pipe.fill()
    os.set_blocking(pipe.stream.fileno(), False)
    pipe.logger.info("a" * 100_000)
    time.sleep(0.1)
    pipe.logger.info("end")

    assert pipe.read("end\n") == "a" * 100_000 + "\nend\n"


def test_what_cannot_be_rendered_is_one_line_that_says_so(pipe: Pipe) -> None:
    pipe.handler.handle(logging.makeLogRecord({"msg": "%d of %d", "args": ("secret",)}))

    assert pipe.read("\n") == "a log record could not be rendered\n"


def test_characters_that_the_encoding_does_not_have_are_numbers() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w", encoding="latin-1") as stream:
        handler = QueuedLogHandler(stream)
        handler.emit(logging.makeLogRecord({"msg": "\u20ac \udce9 \xe9"}))
        writer = handler._thread
        handler.flush()
        handler.close()
        assert writer is not None
        writer.join(60)

    assert os.read(read_end, 100) == b"\\u20ac \\udce9 \xe9\n"
    os.close(read_end)


def test_an_idle_handler_has_no_thread_and_a_closed_one_ends_it(pipe: Pipe) -> None:
    before = count_log_threads()
    assert not pipe.handler.has_thread

    pipe.logger.info("line")
    assert count_log_threads() == before + 1
    writer = pipe.handler._thread
    assert writer is not None
    assert writer.is_alive()

    pipe.handler.flush()
    pipe.handler.close()
    writer.join(60)
    assert count_log_threads() == before
    assert not writer.is_alive()


# In a program of its own: what runs the tests has threads of its own.
FORKING = """
import json, logging, os, sys, warnings
warnings.simplefilter("ignore")
from service.log_writer import QueuedLogHandler

handler = QueuedLogHandler(sys.stderr)
logger = logging.getLogger()
logger.addHandler(handler)
for round in range(200):
    for number in range(5):
        logger.warning(json.dumps([0, round, number]))
    pid = os.fork()
    if pid == 0:
        for number in range(5):
            logger.warning(json.dumps([1, round, number]))
        logging.shutdown()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_a_fork_beside_the_writer_loses_no_line_and_writes_none_twice(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as output:
        subprocess.run([sys.executable, "-c", FORKING], stderr=output, timeout=60, check=True)
    lines = [tuple(json.loads(line)) for line in (tmp_path / "log").read_text().splitlines()]

    for process in range(2):
        own = [line[1:] for line in lines if line[0] == process]
        assert own == [(turn, number) for turn in range(200) for number in range(5)]
