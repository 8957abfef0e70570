"""Bundles on disk: found, read with every digest verified, and published in one atomic step."""

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
    """A bundle whose every byte has the digest its manifest states.

    Attributes:
        location: Where it was read from.
        manifest: What it says about itself.
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
        except Exception as error:  # NumPy, zipfile, zlib and tokenize each raise their own
            raise BundleFileCorrupted(f"{file_name} is not an archive of plain arrays") from error
        for name, array in arrays.items():
            if np.asarray(array).dtype not in _FLOATS:  # bytes, when the archive holds another file
                raise BundleFileCorrupted(f"{file_name}: {name} is no array of float32 or float64")
        return arrays


def find_bundles(models_dir: Path) -> list[BundleLocation]:
    """List what lies in a models folder, by name and ascending version, without reading it.

    Folders whose name is not a positive integer (a publication under way, say) are no versions,
    and hidden ones (``.git``, what a volume keeps for itself) no models.

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

    What was verified is what is used: nothing is read from the folder a second time.

    Args:
        location: The bundle's place.

    Raises:
        BundleError: One of its kinds, with the file and the reason.
    """
    manifest = parse_manifest(_read_file(location.folder, MANIFEST_FILE))
    if manifest.name != location.name:
        raise InvalidManifest(
            f"the manifest is that of {manifest.name}, the folder that of {location.name}"
        )
    files: dict[str, bytes] = {}
    for file_name, stated in manifest.files.items():
        content = _read_file(location.folder, file_name)
        if hashlib.sha256(content).hexdigest() != stated:
            raise BundleFileCorrupted(
                f"{file_name} ({len(content)} bytes) does not have the digest of the manifest"
            )
        files[file_name] = content
    return Bundle(location, manifest, files)


def read_bundle_at(folder: Path) -> Bundle:
    """Read the bundle in ``<name>/<version>/``, named by its folder alone.

    Raises:
        BundleNotFound: The folder is not a version of a model.
        BundleError: As ``read_bundle``.
    """
    resolved = folder.resolve()
    if not (resolved.is_dir() and _is_version(resolved.name)):
        raise BundleNotFound(f"{folder} is no bundle: a folder <name>/<version> is expected")
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
    """Write a bundle as the next free version, so that no reader ever sees half of one.

    The files are written to a hidden folder beside their place, synced, and renamed.

    Args:
        models_dir: The folder that holds ``<name>/<version>/``; made if need be.
        manifest: The manifest; its ``files`` and ``digest`` are computed here.
        files: Content by plain file name, without the manifest.

    Returns:
        Where the bundle now lies.

    Raises:
        InvalidManifest: Manifest and files do not fit together.
        UnsafeBundlePath: A file name is not a plain one.
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
        except OSError:  # another publication took that version in between
            if not (parent / str(version)).exists():
                raise
            continue
        _sync_folder(parent)
        return BundleLocation(parent.name, version, parent / str(version))


def _sync_folder(folder: Path) -> None:
    """Make a rename last: after a power cut the bundle is there, not only its bytes."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
