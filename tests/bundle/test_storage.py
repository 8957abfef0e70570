"""Bundles on disk are published completely or not at all, and rejected when a byte has changed."""

import io
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bundle.manifest import MANIFEST_FILE
from service.bundle.signing import write_manifest
from service.bundle.storage import (
    Bundle,
    BundleLocation,
    find_bundles,
    publish_bundle,
    read_bundle,
    read_bundle_at,
)
from service.errors import (
    BundleError,
    BundleFileCorrupted,
    BundleFileMissing,
    BundleNotFound,
    BundleTooLarge,
    InvalidManifest,
    UnsafeBundlePath,
)
from tests.bundle.manifests import complete
from tests.bundles import PLANE, STAMP, TINY_MODELS, TinyModel, publish_tiny, tiny_files

ROOT = Path(__file__).parents[2]
LISTED_FILES = sorted(tiny_files(STAMP))
EVERY_FILE = [MANIFEST_FILE, *LISTED_FILES]


@pytest.fixture
def stamp(tiny_models_dir: Path, tmp_path: Path) -> BundleLocation:
    """A published bundle that a test may damage."""
    folder = tmp_path / "models" / STAMP.name / "1"
    shutil.copytree(tiny_models_dir / STAMP.name / "1", folder)
    return BundleLocation(STAMP.name, 1, folder)


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_a_published_bundle_reads_back_as_it_was(model: TinyModel, tiny_models_dir: Path) -> None:
    location = BundleLocation(model.name, 1, tiny_models_dir / model.name / "1")
    bundle = read_bundle(location)

    assert bundle.location == location
    assert bundle.files == tiny_files(model)
    assert bundle.manifest == complete(model).model_copy(update={"digest": bundle.manifest.digest})
    assert bundle.graph("decoder") == tiny_files(model)["decoder.onnx"]


def test_publishing_takes_the_next_free_version(tmp_path: Path) -> None:
    locations = [publish_tiny(tmp_path, PLANE) for _ in range(3)]

    assert locations == [
        BundleLocation("plane", version, tmp_path / "plane" / str(version)) for version in (1, 2, 3)
    ]
    assert find_bundles(tmp_path) == locations


def test_publishing_never_reuses_a_version_below_the_highest(tmp_path: Path) -> None:
    (tmp_path / "plane" / "41").mkdir(parents=True)
    (tmp_path / "plane" / "7").write_text("a file, not a folder")

    assert publish_tiny(tmp_path, PLANE).version == 42


def test_folders_that_are_not_versions_are_ignored(tmp_path: Path) -> None:
    for name in ("latest", "0", "09", "-3", "1.5", "٩", ".publishing-x"):
        (tmp_path / "plane" / name).mkdir(parents=True)

    assert publish_tiny(tmp_path, PLANE).version == 1
    assert [location.version for location in find_bundles(tmp_path)] == [1]


def test_every_user_can_read_what_was_published(tmp_path: Path) -> None:
    location = publish_tiny(tmp_path, PLANE)

    assert location.folder.stat().st_mode & 0o777 == 0o755


def test_bundles_are_found_by_name_and_by_number(tmp_path: Path) -> None:
    for place in ("b/2", "b/10", "a/3", "b/1", "a/x", ".git/1", "..data/1"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "a" / "4").write_text("a file, not a folder")

    found = [(location.name, location.version) for location in find_bundles(tmp_path)]

    assert found == [("a", 3), ("b", 1), ("b", 2), ("b", 10)]


def test_concurrent_publishers_get_a_version_each_and_readers_see_complete_bundles(
    tmp_path: Path,
) -> None:
    publishers, each = 4, 3
    start = threading.Barrier(publishers + 1)
    finished = threading.Event()

    def publish() -> list[int]:
        start.wait()
        return [publish_tiny(tmp_path, PLANE).version for _ in range(each)]

    def read_until_finished() -> int:
        start.wait()
        max_seen = 0
        while not finished.is_set():
            bundles = [read_bundle(location) for location in find_bundles(tmp_path)]
            max_seen = max(max_seen, len(bundles))
        return max_seen

    with ThreadPoolExecutor(publishers + 1) as threads:
        reader = threads.submit(read_until_finished)
        versions = [threads.submit(publish) for _ in range(publishers)]
        try:
            taken = [version for future in versions for version in future.result()]
        finally:
            finished.set()
        assert reader.result() > 0

    assert sorted(taken) == list(range(1, publishers * each + 1))
    assert [location.version for location in find_bundles(tmp_path)] == sorted(taken)


def test_a_version_that_another_process_publishes_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename
    (tmp_path / "plane").mkdir()

    def rename_too_late(draft: Path, target: Path) -> Path:
        if target.name == "1":
            target.mkdir()
            (target / MANIFEST_FILE).write_text("of another publisher")
        return rename(draft, target)

    monkeypatch.setattr(Path, "rename", rename_too_late)

    assert publish_tiny(tmp_path, PLANE).version == 2
    assert (tmp_path / "plane" / "1" / MANIFEST_FILE).read_text() == "of another publisher"
    assert read_bundle_at(tmp_path / "plane" / "2").files == tiny_files(PLANE)


@pytest.mark.parametrize("written", range(len(tiny_files(PLANE)) + 1))
def test_a_publication_that_fails_at_any_file_leaves_nothing(
    written: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def fail_in_the_end(descriptor: int) -> None:
        if len(synced) == written:
            raise OSError(28, "No space left on device")
        synced.append(descriptor)

    monkeypatch.setattr(os, "fsync", fail_in_the_end)

    with pytest.raises(OSError, match="No space left"):
        publish_tiny(tmp_path, PLANE)
    assert find_bundles(tmp_path) == []
    assert list((tmp_path / "plane").iterdir()) == []


def test_a_publisher_that_is_killed_leaves_a_hidden_folder_that_is_ignored(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib; from tests.bundles import PLANE, publish_tiny; synced = [];"
        "os.fsync = lambda descriptor: os._exit(9) if len(synced) == 3 else synced.append(1);"
        "publish_tiny(pathlib.Path(sys.argv[1]), PLANE)"
    )
    run = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=ROOT, check=False)

    assert run.returncode == 9
    (draft,) = (tmp_path / "plane").iterdir()
    assert draft.name.startswith(".")
    assert any(draft.iterdir()), "it was killed before it wrote anything"
    assert find_bundles(tmp_path) == []
    assert publish_tiny(tmp_path, PLANE).version == 1


def test_a_publication_that_cannot_be_moved_into_place_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "rename", refuse)

    with pytest.raises(PermissionError):
        publish_tiny(tmp_path, PLANE)
    assert list((tmp_path / "plane").iterdir()) == []


def test_a_manifest_that_does_not_fit_its_files_is_not_published(tmp_path: Path) -> None:
    files = tiny_files(PLANE)
    del files["decoder.onnx"]

    with pytest.raises(InvalidManifest, match=r"without a digest: .*decoder\.onnx"):
        publish_bundle(tmp_path, complete(PLANE), files)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../escaped", "/escaped", ".hidden", "folder/file"])
def test_a_file_that_would_leave_the_folder_is_not_published(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeBundlePath):
        publish_bundle(tmp_path / "models", complete(PLANE), tiny_files(PLANE) | {name: b"x"})
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_the_name_of_the_manifest_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="its own digest"):
        publish_bundle(tmp_path, complete(PLANE), tiny_files(PLANE) | {MANIFEST_FILE: b"{}"})


@pytest.mark.parametrize("file_name", LISTED_FILES)
def test_a_missing_file_is_named(file_name: str, stamp: BundleLocation) -> None:
    (stamp.folder / file_name).unlink()

    with pytest.raises(BundleFileMissing, match=f"^{file_name} is missing"):
        read_bundle(stamp)


def test_a_folder_without_a_manifest_is_not_a_bundle(stamp: BundleLocation) -> None:
    (stamp.folder / MANIFEST_FILE).unlink()

    with pytest.raises(BundleNotFound, match=MANIFEST_FILE):
        read_bundle(stamp)


def truncated(content: bytes) -> bytes:
    return content[:-1]


def emptied(_: bytes) -> bytes:
    return b""


def with_first_byte_flipped(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def with_middle_byte_flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x80]) + content[middle + 1 :]


DAMAGES = [
    truncated,
    emptied,
    with_first_byte_flipped,
    with_middle_byte_flipped,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("file_name", LISTED_FILES)
def test_a_damaged_file_is_named_with_its_length(
    file_name: str, damage: Callable[[bytes], bytes], stamp: BundleLocation
) -> None:
    path = stamp.folder / file_name
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)

    with pytest.raises(BundleFileCorrupted, match=rf"^{file_name} \({len(damaged)} bytes\)"):
        read_bundle(stamp)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_manifest_is_named(
    damage: Callable[[bytes], bytes], stamp: BundleLocation
) -> None:
    path = stamp.folder / MANIFEST_FILE
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(BundleError, match=f"^{MANIFEST_FILE}"):
        read_bundle(stamp)


@pytest.mark.parametrize("file_name", EVERY_FILE)
def test_a_link_to_outside_the_folder_is_rejected_even_with_the_right_content(
    file_name: str, stamp: BundleLocation, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (stamp.folder / file_name).rename(outside)
    (stamp.folder / file_name).symlink_to(outside)

    with pytest.raises(UnsafeBundlePath, match=f"^{file_name}"):
        read_bundle(stamp)


def test_a_link_inside_the_folder_is_followed(stamp: BundleLocation) -> None:
    (stamp.folder / "encoder.onnx").rename(stamp.folder / "same-content")
    (stamp.folder / "encoder.onnx").symlink_to("same-content")

    assert read_bundle(stamp).files == tiny_files(STAMP)


def test_a_link_to_itself_is_a_missing_file(stamp: BundleLocation) -> None:
    (stamp.folder / "encoder.onnx").unlink()
    (stamp.folder / "encoder.onnx").symlink_to("encoder.onnx")

    with pytest.raises(BundleError, match=r"^encoder\.onnx"):
        read_bundle(stamp)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
@pytest.mark.timeout(10)
def test_what_is_not_a_plain_file_is_rejected_without_reading_it(
    make: Callable[[Path], None], stamp: BundleLocation
) -> None:
    (stamp.folder / "golden.npz").unlink()
    make(stamp.folder / "golden.npz")

    with pytest.raises(UnsafeBundlePath, match=r"^golden\.npz is not a plain file"):
        read_bundle(stamp)


def test_a_version_may_be_a_link_to_a_folder_elsewhere(
    tiny_models_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / STAMP.name).mkdir()
    (tmp_path / STAMP.name / "5").symlink_to(tiny_models_dir / STAMP.name / "1")
    (found,) = find_bundles(tmp_path)

    assert (found.name, found.version) == (STAMP.name, 5)
    assert read_bundle(found).files == tiny_files(STAMP)


def test_a_bundle_in_the_folder_of_another_model_is_rejected(
    tiny_models_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_models_dir / "plane" / "1", tmp_path / "wave" / "1")
    (found,) = find_bundles(tmp_path)

    with pytest.raises(InvalidManifest, match="of model plane, but the folder is wave"):
        read_bundle(found)


def test_a_bundle_is_read_by_its_folder_alone(
    tiny_models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_models_dir / "plane" / "1"
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)

    for path in (folder, Path(), Path("../1"), tmp_path / "link"):
        assert read_bundle_at(path).location == BundleLocation("plane", 1, folder.resolve())


@pytest.mark.parametrize("place", ["plane", "plane/2", "plane/1/manifest.json", "nowhere/1"])
def test_what_is_not_a_version_of_a_model_is_not_found(place: str, tiny_models_dir: Path) -> None:
    with pytest.raises(BundleNotFound, match="<name>/<version>"):
        read_bundle_at(tiny_models_dir / place)


def archive(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # pyright: ignore[reportArgumentType]  # objects as well
    return stream.getvalue()


def arrays_in(content: bytes) -> dict[str, np.ndarray]:
    manifest = complete(PLANE)
    return Bundle(BundleLocation("plane", 1, Path()), manifest, {"a.npz": content}).arrays("a.npz")


def test_the_arrays_of_an_archive_keep_their_values_and_types() -> None:
    values = {"double": np.array([0.1, -np.inf]), "single": np.array([[1, 2], [3, 4]], np.float32)}
    read = arrays_in(archive(**values))

    assert list(read) == ["double", "single"]
    for name, array in values.items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)


class Bomb:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickled_objects_are_rejected_and_never_run(tmp_path: Path) -> None:
    bomb = Bomb(tmp_path / "exploded")
    pickle.loads(pickle.dumps(bomb))  # noqa: S301  # it works
    bomb.path.unlink()

    for content in (archive(codes=np.array([bomb], dtype=object)), pickle.dumps(bomb)):
        with pytest.raises(BundleFileCorrupted, match=r"^a\.npz is not an archive"):
            arrays_in(content)
    assert not bomb.path.exists()


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", npy(np.zeros(3)), b"\x93NUMPY", b"0 1 2\n"]
)
def test_what_is_not_an_archive_is_rejected(content: bytes) -> None:
    with pytest.raises(BundleFileCorrupted, match=r"^a\.npz is not an archive"):
        arrays_in(content)


@pytest.mark.parametrize(
    "values",
    [
        np.array(["text"]),
        np.array([b"bytes"]),
        np.array([1, 2]),
        np.array([True]),
        np.array([1], np.float16),
    ],
    ids=lambda values: values.dtype.name,
)
def test_arrays_of_other_types_than_floats_are_rejected(values: np.ndarray) -> None:
    with pytest.raises(BundleFileCorrupted, match=r"^a\.npz: codes is not an array of float32"):
        arrays_in(archive(codes=values))


SMALL_ARCHIVE = archive(codes=np.arange(20.0))


@given(st.integers(0, len(SMALL_ARCHIVE) - 1), st.integers(1, 255))
def test_a_damaged_archive_never_gives_other_values(position: int, difference: int) -> None:
    damaged = bytearray(SMALL_ARCHIVE)
    damaged[position] ^= difference
    try:
        read = arrays_in(bytes(damaged))
    except (BundleFileCorrupted, BundleTooLarge):
        return

    assert all(np.array_equal(array, np.arange(20.0)) for array in read.values())


def test_files_are_checked_against_a_rewritten_manifest_too(
    stamp: BundleLocation,
) -> None:
    manifest = read_bundle(stamp).manifest
    wrong = {**manifest.files, "encoder.onnx": "0" * 64}
    content = write_manifest(manifest.model_copy(update={"files": wrong}))
    (stamp.folder / MANIFEST_FILE).write_bytes(content)

    with pytest.raises(BundleFileCorrupted, match=r"^encoder\.onnx"):
        read_bundle(stamp)
