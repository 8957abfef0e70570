"""The process that verifies bundles, each in a process of its own with limits.

It is single-threaded, so that it can fork; it opens nothing itself. Requests and verdicts are lines
of JSON on a socket. When the socket closes it ends, with everything that it has started.
"""

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
import traceback
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NoReturn

from service.bundle.storage import MAX_BUNDLE_BYTES, BundleLocation, read_bundle
from service.catalog.verification import verify_bundle
from service.errors import LatentServeError, VerificationFailed

_MAX_RUN_SECONDS = 0.02  # of a run that proves rows independent: the start waits for it
_MAX_VERDICT_BYTES = 65_536
_MAX_REASON_CHARACTERS = 1_000
_READ_BYTES = 65_536
_PR_SET_PDEATHSIG = 1
_OUT_OF_MEMORY = ("bad_alloc", "allocate memory", "MemoryError", "out of memory")


@dataclass(frozen=True)
class VerificationLimits:
    """What verifying one bundle may take.

    Attributes:
        timeout_seconds: Maximum time, by the clock and of the processor.
        memory_bytes: Maximum memory, in addition to what the process has when it begins.
        max_bundle_bytes: Maximum size of the bundle's files together.
        max_batch_rows: Largest batch that its graphs are run with.
        side_by_side: Bundles that are verified at the same time.
    """

    timeout_seconds: float = 60.0
    memory_bytes: int = 2 * 1024**3
    max_bundle_bytes: int = MAX_BUNDLE_BYTES
    max_batch_rows: int = 256
    side_by_side: int = 1


@dataclass(frozen=True)
class Verdict:
    """What came of verifying a bundle.

    Attributes:
        digest: Digest of the manifest that was verified; None where the bundle is refused.
        reason: Why it is refused: the name of an error, and a sentence.
        trace: Where an error happened that nobody expected.
    """

    digest: str | None = None
    reason: str | None = None
    trace: str | None = None


@dataclass
class _Child:
    """A process that verifies a bundle."""

    number: int
    pid: int
    pipe: int
    deadline: float
    output: bytearray = field(default_factory=bytearray)
    timed_out: bool = False


def write_request(number: int, location: BundleLocation) -> bytes:
    """Write a request to verify a bundle, of which the verdict will have the same number."""
    folder = os.fsencode(location.folder).hex()
    return _line([number, location.name, location.version, folder])


def read_verdict(line: bytes) -> tuple[int, Verdict]:
    """Read a verdict, and the number of its request."""
    number, fields = json.loads(line)
    return number, Verdict(**fields)


def serve(channel: socket.socket, limits: VerificationLimits) -> None:
    """Verify what is asked for until the channel closes.

    Args:
        channel: Where requests come from and verdicts go.
        limits: What verifying one bundle may take.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides when this ends
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        _VerifyingProcess(channel, limits).run()


class _VerifyingProcess:
    def __init__(self, channel: socket.socket, limits: VerificationLimits) -> None:
        self._channel = channel
        self._limits = limits
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[tuple[int, BundleLocation]] = deque()
        self._children: dict[int, _Child] = {}

    def run(self) -> None:
        self._selector.register(self._channel, selectors.EVENT_READ)
        received = bytearray()
        try:
            while True:
                for key, _ in self._selector.select(self._seconds_to_deadline()):
                    if key.fileobj is self._channel:
                        data = self._channel.recv(_READ_BYTES)
                        if not data:
                            return
                        received += data
                        self._take_requests(received)
                    else:
                        self._read_output(self._children[key.fd])
                self._kill_late_children()
                while self._waiting and len(self._children) < self._limits.side_by_side:
                    self._start(*self._waiting.popleft())
        finally:
            for child in self._children.values():
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)

    def _take_requests(self, received: bytearray) -> None:
        *lines, rest = bytes(received).split(b"\n")
        received[:] = rest
        for line in lines:
            number, name, version, folder = json.loads(line)
            path = Path(os.fsdecode(bytes.fromhex(folder)))
            self._waiting.append((number, BundleLocation(name, version, path)))

    def _start(self, number: int, location: BundleLocation) -> None:
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(reading)
            os.close(writing)
            self._answer(number, _failed(f"no process could be started: {error.strerror}"))
            return
        if pid == 0:
            _verify_and_exit(location, self._limits, writing, (reading, self._channel.fileno()))
        os.close(writing)
        child = _Child(number, pid, reading, time.monotonic() + self._limits.timeout_seconds)
        self._children[reading] = child
        self._selector.register(reading, selectors.EVENT_READ)

    def _read_output(self, child: _Child) -> None:
        data = os.read(child.pipe, _READ_BYTES)
        child.output += data
        if data and len(child.output) <= _MAX_VERDICT_BYTES:
            return
        self._selector.unregister(child.pipe)
        os.close(child.pipe)
        del self._children[child.pipe]
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)  # it has said everything
        _, status = os.waitpid(child.pid, 0)
        self._answer(child.number, self._verdict_of(child, os.waitstatus_to_exitcode(status)))

    def _verdict_of(self, child: _Child, exit_code: int) -> Verdict:
        with contextlib.suppress(ValueError, TypeError):
            return Verdict(**json.loads(child.output))
        if child.timed_out or exit_code == -signal.SIGXCPU:
            return _failed(
                f"it took longer than {self._limits.timeout_seconds:g} seconds; see"
                " LATENTSERVE_VERIFY_TIMEOUT_SECONDS"
            )
        if exit_code == -signal.SIGKILL:
            return _failed("its process was killed, probably for want of memory")
        cause = f"signal {-exit_code}" if exit_code < 0 else f"status {exit_code}"
        with contextlib.suppress(ValueError):  # a signal without a name
            cause = signal.Signals(-exit_code).name
        return _failed(f"its process ended with {cause}")

    def _kill_late_children(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.deadline <= now and not child.timed_out:
                child.timed_out = True
                os.kill(child.pid, signal.SIGKILL)

    def _seconds_to_deadline(self) -> float | None:
        deadlines = [child.deadline for child in self._children.values() if not child.timed_out]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _answer(self, number: int, verdict: Verdict) -> None:
        self._channel.sendall(_line([number, asdict(verdict)]))


def _verify_and_exit(
    location: BundleLocation, limits: VerificationLimits, pipe: int, others: tuple[int, ...]
) -> NoReturn:
    """Verify a bundle in this process, write the verdict to a pipe, and end the process."""
    try:
        for descriptor in others:
            os.close(descriptor)
        _limit_process(limits)
        os.write(pipe, _line(asdict(_verdict_on(location, limits))))
    finally:
        os._exit(1)


def _verdict_on(location: BundleLocation, limits: VerificationLimits) -> Verdict:
    try:
        bundle = read_bundle(location, limits.max_bundle_bytes)
        verify_bundle(bundle, limits.max_batch_rows, _MAX_RUN_SECONDS)
    except Exception as error:  # noqa: BLE001  # whatever it is, this bundle is refused for it
        if any(sign in f"{error!r} {error.__cause__!r}" for sign in _OUT_OF_MEMORY):
            return _failed(
                f"it needs more than {limits.memory_bytes} bytes of memory; see"
                " LATENTSERVE_VERIFY_MEMORY_BYTES"
            )
        if isinstance(error, LatentServeError):
            return Verdict(reason=_shortened(f"{type(error).__name__}: {error}"))
        return Verdict(reason=type(error).__name__, trace=traceback.format_exc()[-8192:])
    return Verdict(digest=bundle.manifest.digest)


def _limit_process(limits: VerificationLimits) -> None:
    seconds = int(limits.timeout_seconds) + 1
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CPU: seconds,
    }
    with contextlib.suppress(OSError):  # another system than Linux
        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
        bounds[resource.RLIMIT_AS] = pages * resource.getpagesize() + limits.memory_bytes
        # If the whole machine runs out of memory first, it is this process that ends.
        Path("/proc/self/oom_score_adj").write_text("1000")
    for kind, bound in bounds.items():
        with contextlib.suppress(OSError, ValueError):  # a lower bound is in force already
            resource.setrlimit(kind, (bound, bound))
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _failed(sentence: str) -> Verdict:
    return Verdict(reason=f"{VerificationFailed.__name__}: {sentence}")


def _shortened(reason: str) -> str:
    """Cut a reason that has a name out of the bundle, which may be of any length."""
    return (
        reason if len(reason) <= _MAX_REASON_CHARACTERS else reason[:_MAX_REASON_CHARACTERS] + "…"
    )


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def main() -> None:
    """Serve the socket whose descriptor is given, with the limits given as JSON."""
    descriptor, limits = sys.argv[1:]
    serve(socket.socket(fileno=int(descriptor)), VerificationLimits(**json.loads(limits)))
