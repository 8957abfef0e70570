"""Bundles on disk: find them, read them with every digest verified, publish them atomically."""

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import MANIFEST_FILE, Manifest
from service.bundle.signing import parse_manifest, write_manifest
from service.errors import (
    BundleFileCorrupted,
    BundleFileMissing,
    BundleNotFound,
    InvalidManifest,
    UnsafeBundlePath,
)

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True, order=True)
class BundleLocation:
    """Where one version of one model lies: ``<models>/<name>/<version>/``."""

    name: str
    version: int
    folder: Path


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory, whose files have the digests that its manifest states.

    Attributes:
        location: Where it was read from.
        manifest: Its manifest.
        files: Content of every listed file, by name.
    """

    location: BundleLocation
    manifest: Manifest
    files: Mapping[str, bytes]

    def graph(self, name: str) -> bytes:
        """Return the ONNX bytes of one graph."""
        return self.files[self.manifest.graphs[name].file]

    def arrays(self, file_name: str) -> dict[str, NDArray[np.float64] | NDArray[np.float32]]:
        """Return the arrays of one ``.npz`` file.

        Raises:
            BundleFileCorrupted: The file is not a NumPy archive of plain arrays.
        """
        try:
            with np.load(io.BytesIO(self.files[file_name]), allow_pickle=False) as archive:
                arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
        except Exception as error:  # of NumPy, zipfile, zlib, tokenize: each has types of its own
            raise BundleFileCorrupted(f"{file_name} is not an archive of plain arrays") from error
        for name, array in arrays.items():
            # NumPy returns bytes for a member of the archive that is not an array.
            if np.asarray(array).dtype not in _FLOATS:
                raise BundleFileCorrupted(
                    f"{file_name}: {name} is not an array of float32 or float64"
                )
        return arrays


def find_bundles(models_dir: Path) -> list[BundleLocation]:
    """List the bundles in a models folder, by name and ascending version, without reading them.

    Folders whose name is not a positive integer (such as an unfinished publication) are not
    versions, and hidden folders (such as ``.git``, or those of a mounted volume) are not models.

    Example:
        With ``models/mnist/1``, ``models/mnist/2`` and ``models/mnist/.publishing-x7``,
        ``find_bundles(Path("models"))`` returns the locations of versions 1 and 2.

    Args:
        models_dir: The folder that holds ``<name>/<version>/``.
    """
    return sorted(
        BundleLocation(folder.parent.name, int(folder.name), folder)
        for folder in models_dir.glob("*/*")
        if _is_version(folder.name) and not folder.parent.name.startswith(".") and folder.is_dir()
    )


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and not name.startswith("0")


def read_bundle(location: BundleLocation) -> Bundle:
    """Read a bundle into memory and verify the digest of every file.

    The content that was verified is the content that is used: nothing is read a second time.

    Args:
        location: The bundle's folder, name and version.

    Raises:
        BundleError: One of its subclasses, with the file and the reason.
    """
    manifest = parse_manifest(_read_file(location.folder, MANIFEST_FILE))
    if manifest.name != location.name:
        raise InvalidManifest(
            f"the manifest is of model {manifest.name}, but the folder is {location.name}"
        )
    files: dict[str, bytes] = {}
    for file_name, stated in manifest.files.items():
        content = _read_file(location.folder, file_name)
        if hashlib.sha256(content).hexdigest() != stated:
            raise BundleFileCorrupted(
                f"{file_name} ({len(content)} bytes) does not have the digest that the manifest"
                " states; copy or publish the bundle again"
            )
        files[file_name] = content
    return Bundle(location, manifest, files)


def read_bundle_at(folder: Path) -> Bundle:
    """Read the bundle in a folder ``<name>/<version>/``; name and version are those of the folder.

    Raises:
        BundleNotFound: The folder is not a version of a model.
        BundleError: As ``read_bundle``.
    """
    resolved = folder.resolve()
    if not (resolved.is_dir() and _is_version(resolved.name)):
        raise BundleNotFound(f"{folder} is not a bundle; a folder <name>/<version> is expected")
    return read_bundle(BundleLocation(resolved.parent.name, int(resolved.name), resolved))


def _read_file(folder: Path, file_name: str) -> bytes:
    path = folder / file_name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        missing = BundleNotFound if file_name == MANIFEST_FILE else BundleFileMissing
        raise missing(f"{file_name} is missing") from error
    if not real.is_relative_to(folder.resolve()) or not real.is_file():
        raise UnsafeBundlePath(f"{file_name} is not a plain file inside the bundle's folder")
    try:
        return real.read_bytes()
    except OSError as error:
        raise BundleFileMissing(f"{file_name} cannot be read: {error.strerror}") from error


def publish_bundle(
    models_dir: Path, manifest: Manifest, files: Mapping[str, bytes]
) -> BundleLocation:
    """Write a bundle as the next free version, atomically: readers see all of it or nothing.

    The files are written to a hidden folder beside their destination and synced; then the folder is
    renamed.

    Args:
        models_dir: The folder that holds ``<name>/<version>/``; created if it does not exist.
        manifest: The manifest; its ``files`` and ``digest`` are computed here.
        files: Content by plain file name, without the manifest.

    Returns:
        Folder, name and version of the published bundle.

    Raises:
        InvalidManifest: Manifest and files contradict each other.
        UnsafeBundlePath: A file name is not a plain file name.
    """
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    content = write_manifest(manifest.model_copy(update={"files": digests}))
    parse_manifest(content)
    parent = models_dir / manifest.name
    parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".publishing-", dir=parent))
    try:
        for name, data in {**files, MANIFEST_FILE: content}.items():
            _write_synced(draft / name, data)
        draft.chmod(0o755)
        return _rename_to_next_version(draft, parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _rename_to_next_version(draft: Path, parent: Path) -> BundleLocation:
    while True:
        taken = [int(entry.name) for entry in parent.iterdir() if _is_version(entry.name)]
        version = max(taken, default=0) + 1
        try:
            draft.rename(parent / str(version))
        except OSError:  # another process has published this version in the meantime
            if not (parent / str(version)).exists():
                raise
            continue
        _sync_folder(parent)
        return BundleLocation(parent.name, version, parent / str(version))


def _sync_folder(folder: Path) -> None:
    """Write a folder's entries to disk, so that a renamed folder is there after a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
