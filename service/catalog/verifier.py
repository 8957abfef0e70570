"""Has bundles verified in other processes, before this one opens them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Final

from service.catalog.desired_state import DesiredVersion
from service.catalog.verifying_process import (
    Verdict,
    VerificationLimits,
    read_verdict,
    serve,
    write_request,
)
from service.errors import VerificationFailed
from service.log_writer import count_log_threads

_TASKS = Path("/proc/self/task")
_RECEIVE_BYTES = 65_536
# ``-P``: nothing is imported from the working directory, unless this process does too.
_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
from service.inference.processors import keep_libraries_single_threaded
keep_libraries_single_threaded()
from service.catalog.verifying_process import main
main()
"""


def single_threaded() -> bool:
    """Whether this process has one thread beside the log's, which a fork does not miss.

    False where that cannot be told.
    """
    return _TASKS.is_dir() and len(list(_TASKS.iterdir())) == 1 + count_log_threads()


class Verifier:
    """Asks a process to verify bundles, and starts it when it is needed.

    A process with one thread forks it, which takes milliseconds; one with several starts a program,
    which takes as long as its imports. Used by one thread at a time; ``stop`` by any.
    """

    def __init__(self, limits: VerificationLimits) -> None:
        """Start nothing yet.

        Args:
            limits: What verifying one bundle may take.
        """
        self.limits: Final = limits
        self._channel: socket.socket | None = None
        self._process = self._owner = 0
        self._stopped = False
        self._in_use = Lock()
        self._forget()

    def start(self) -> None:
        """Start the process, unless it runs."""
        if self._channel is not None and self._owner == os.getpid():
            return
        self._close_channel()  # a parent's
        self._forget()
        ours, theirs = socket.socketpair()
        with theirs:
            fork = single_threaded()
            self._process = self._fork(ours, theirs) if fork else self._spawn(theirs)
        self._owner = os.getpid()
        self._channel = ours
        if self._stopped:
            self.stop()

    def first_verified(self, wanted: Sequence[DesiredVersion]) -> tuple[DesiredVersion, Verdict]:
        """Return the first of some versions that has been verified, and the verdict.

        All of them are verified from now on, several side by side, in their order. Blocking.

        Args:
            wanted: The versions; of those that have been verified the first is returned.

        Raises:
            VerificationFailed: It was stopped meanwhile.
        """
        try:
            with self._in_use:
                return self._wait_for_first(wanted)
        except OSError as error:
            if self._stopped:
                self._close_channel()
                raise VerificationFailed("the service stops") from error
            self.pause()  # the next version gets another process
            return wanted[0], Verdict(
                reason=f"{VerificationFailed.__name__}: the process that verifies bundles ended"
            )

    def _wait_for_first(self, wanted: Sequence[DesiredVersion]) -> tuple[DesiredVersion, Verdict]:
        self.start()
        for version in wanted:
            if version not in self._numbers:
                self._numbers[version] = len(self._numbers)
                self._send(write_request(self._numbers[version], version.location))
        while True:
            for version in wanted:
                verdict = self._verdicts.get(self._numbers[version])
                if verdict is not None:
                    return version, verdict
            self._receive()

    def pause(self) -> None:
        """End the process, and everything that it has started, until it is needed again."""
        self._close_channel()
        if self._process and self._owner == os.getpid():
            with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
                os.waitpid(self._process, 0)
        self._process = 0
        self._forget()

    def stop(self) -> None:
        """End the process for good, also while another thread waits for it."""
        self._stopped = True
        if self._channel is not None and self._owner == os.getpid():
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._process, 0)
            if not self._in_use.locked():  # else by the thread that waits
                self._close_channel()

    def _forget(self) -> None:
        self._received = bytearray()
        self._numbers: dict[DesiredVersion, int] = {}
        self._verdicts: dict[int, Verdict] = {}

    def _send(self, data: bytes) -> None:
        if self._channel is None:
            raise ConnectionResetError
        self._channel.sendall(data)

    def _receive(self) -> None:
        data = b"" if self._channel is None else self._channel.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError
        *lines, rest = bytes(self._received + data).split(b"\n")
        self._received[:] = rest
        for line in lines:
            number, verdict = read_verdict(line)
            self._verdicts[number] = verdict

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _fork(self, ours: socket.socket, theirs: socket.socket) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            ours.close()
            # Of what is open here only the channel, and where text goes, is kept open there.
            os.closerange(3, theirs.fileno())
            os.closerange(theirs.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
            serve(theirs, self.limits)
        finally:
            os._exit(0)

    def _spawn(self, theirs: socket.socket) -> int:
        descriptor = theirs.fileno()
        limits = json.dumps(asdict(self.limits))
        process = subprocess.Popen(  # noqa: S603  # this interpreter and a constant program
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path), str(descriptor), limits],
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
        )
        process.returncode = 0  # it is waited for by its id, not by the object
        return process.pid
