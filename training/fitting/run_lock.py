"""The lock on the folder of a run: two processes never write checkpoints into one.

The operating system gives the lock back when its process ends, however it ends, so that there are
no stale locks. The file stays, and says who had it last.
"""

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from training.errors import FolderUnusable, RunInUse

LOCK_FILE = "lock"


@contextmanager
def lock_run(folder: Path, announce: Callable[[str], None] | None = None) -> Iterator[None]:
    """Keep the folder of a run for this process while the block runs.

    Args:
        folder: The run's folder; created if it does not exist.
        announce: Receives one sentence if another process has the lock, which is then waited
            for. Without it there is no waiting.

    Raises:
        RunInUse: Another process has the lock.
        FolderUnusable: The folder cannot be created, or its file system has no locks.
    """
    try:
        descriptor = _locked(folder, announce)
    except OSError as error:
        raise FolderUnusable(
            f"{folder} cannot be locked for one process ({error.strerror}): choose another folder"
            " with --runs"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(folder: Path, announce: Callable[[str], None] | None) -> int:
    path = folder / LOCK_FILE
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(descriptor, folder, announce)
            if _is_at(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, _holder(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the folder was removed, or made anew, while we waited


def _lock(descriptor: int, folder: Path, announce: Callable[[str], None] | None) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        used = f"{folder} is used by {_described_holder(descriptor)}"
        if announce is None:
            raise RunInUse(
                f"{used}, which trains the same recipe: wait for it with --wait, or choose another"
                " folder with --runs"
            ) from error
        announce(f"{used}; waiting for its end")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder() -> bytes:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"process": os.getpid(), "host": socket.gethostname(), "started": started}
    return json.dumps(holder).encode()


def _described_holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['process']} on {holder['host']} since {holder['started']}"
    except (ValueError, TypeError, KeyError):  # it has the lock, and is about to write this
        return "another process"
