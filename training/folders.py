"""Folders for results: proven writable before they are needed, and written atomically."""

import errno
import os
import tempfile
from pathlib import Path

from training.errors import FolderUnusable

DRAFT_PREFIX = ".draft-"


def check_folder(folder: Path, size_bytes: int, purpose: str) -> None:
    """Prove that files can be written into a folder, by writing one and removing it.

    Permissions, read-only file systems, quotas and limits of the process are all found this way.
    A folder that does not exist is not created: the nearest folder above it is tried.

    Args:
        folder: Where files will go.
        size_bytes: Room that they will need.
        purpose: What goes there, for the error message.

    Raises:
        FolderUnusable: The path is not a folder, or the file cannot be written.
    """
    absolute = folder.absolute()  # not resolved: a dangling link is not followed
    existing = next(path for path in (absolute, *absolute.parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise FolderUnusable(f"{existing}, a folder for {purpose}, is not a folder")
    try:
        with tempfile.TemporaryFile(dir=existing, prefix=DRAFT_PREFIX) as draft:
            _reserve(draft.fileno(), max(size_bytes, 1))
    except OSError as error:
        room = f" with room for {size_bytes / 1e6:.1f} MB" if size_bytes else ""
        raise FolderUnusable(
            f"{folder} is needed{room} for {purpose}, and {existing} cannot be written:"
            f" {error.strerror}"
        ) from error


def _reserve(descriptor: int, size_bytes: int) -> None:
    os.write(descriptor, b"\0")
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except AttributeError:  # macOS has no such call
        return
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # not every file system has it
            raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write or replace a file: at every instant the old content is there or the new one.

    Args:
        path: The file; its folder is created if it does not exist.
        content: All of it.

    Raises:
        FolderUnusable: The file cannot be written; the old one is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=DRAFT_PREFIX)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FolderUnusable(f"{path} cannot be written: {error.strerror}") from error


def remove_drafts(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left behind."""
    for draft in folder.glob(f"{DRAFT_PREFIX}*"):
        draft.unlink(missing_ok=True)
