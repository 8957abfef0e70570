import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from training.errors import FolderUnusable
from training.folders import check_folder, remove_drafts, write_atomically

LIMIT_BYTES = 1000


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let the operating system refuse every write beyond a size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_folder_that_is_not_there_yet_is_tried_without_being_made(tmp_path: Path) -> None:
    check_folder(tmp_path / "models" / "digits", 100_000, "the bundle")

    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")

    with pytest.raises(FolderUnusable, match=r"models, a folder for the bundle, is not a folder"):
        check_folder(tmp_path / "models" / "digits", 0, "the bundle")


def test_a_dangling_link_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(tmp_path / "unmounted")

    with pytest.raises(FolderUnusable, match=r"models, a folder for the bundle, is not a folder"):
        check_folder(tmp_path / "models", 0, "the bundle")


def test_a_file_system_that_takes_no_files_is_named_with_the_reason() -> None:
    with pytest.raises(FolderUnusable, match=r"for the bundle, and /proc cannot be written: "):
        check_folder(Path("/proc/models"), 0, "the bundle")


def test_a_folder_without_enough_room_is_named_with_the_room_it_needs(tmp_path: Path) -> None:
    with (
        file_size_limit(LIMIT_BYTES),
        pytest.raises(FolderUnusable, match=r"room for 2\.0 MB for checkpoints.*: File too large"),
    ):
        check_folder(tmp_path, 2_000_000, "checkpoints")

    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_replaced_is_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "latest.npz"
    write_atomically(path, b"old")

    with (
        file_size_limit(LIMIT_BYTES),
        pytest.raises(FolderUnusable, match=r"latest\.npz cannot be written: File too large"),
    ):
        write_atomically(path, b"new" * LIMIT_BYTES)

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_behind_is_removed(tmp_path: Path) -> None:
    write_atomically(tmp_path / "best.npz", b"weights")
    (tmp_path / ".draft-x7").write_bytes(b"half a check")

    remove_drafts(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["best.npz"]
