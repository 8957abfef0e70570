"""Bundles on disk: find them, read them with every digest verified, publish them atomically."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.bundle.archives import FloatArrays, read_archive
from service.bundle.discovery import BundleLocation, is_version, survey_models
from service.bundle.manifest import MANIFEST_FILE, Manifest
from service.bundle.signing import parse_manifest, write_manifest
from service.errors import (
    BundleFileCorrupted,
    BundleFileMissing,
    BundleNotFound,
    BundleTooLarge,
    InvalidManifest,
    UnsafeBundlePath,
)

MAX_BUNDLE_BYTES = 1024**3
"""Maximum size of the files of a bundle together, unless it is said otherwise."""
MAX_MANIFEST_BYTES = 16 * 1024 * 1024

_NOT_PLAIN = "{} is not a plain file inside the bundle's folder"


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

    def arrays(self, file_name: str) -> FloatArrays:
        """Return the arrays of one ``.npz`` file; see ``read_archive``."""
        return read_archive(self.files[file_name], file_name)


def find_bundles(models_dir: Path) -> list[BundleLocation]:
    """List the bundles in a models folder, by name and ascending version, without reading them.

    Args:
        models_dir: The folder that holds ``<name>/<version>/``.

    Raises:
        ConfigurationError: It does not exist, or cannot be listed.
    """
    return survey_models(models_dir).bundles


def read_bundle(location: BundleLocation, max_bytes: int = MAX_BUNDLE_BYTES) -> Bundle:
    """Read a bundle into memory and verify the digest of every file.

    The content that was verified is the content that is used: nothing is read a second time.

    Args:
        location: The bundle's folder, name and version.
        max_bytes: Maximum size of all files together, without the manifest.

    Raises:
        BundleError: One of its subclasses, with the file and the reason.
    """
    manifest = parse_manifest(read_file(location.folder, MANIFEST_FILE, MAX_MANIFEST_BYTES))
    if manifest.name != location.name:
        raise InvalidManifest(
            f"the manifest is of model {manifest.name}, but the folder is {location.name}"
        )
    files: dict[str, bytes] = {}
    bytes_left = max_bytes
    for file_name in manifest.files:
        files[file_name] = read_listed_file(location, manifest, file_name, bytes_left)
        bytes_left -= len(files[file_name])
    return Bundle(location, manifest, files)


def read_listed_file(
    location: BundleLocation,
    manifest: Manifest,
    file_name: str,
    max_bytes: int = MAX_BUNDLE_BYTES,
) -> bytes:
    """Read one file of a bundle and verify its digest.

    Args:
        location: The bundle's folder, name and version.
        manifest: Its manifest, which lists the file.
        file_name: Name of the file.
        max_bytes: Maximum size of the file.

    Raises:
        BundleError: The file is missing, too large, or another one than the manifest lists.
    """
    content = read_file(location.folder, file_name, max_bytes)
    if hashlib.sha256(content).hexdigest() != manifest.files[file_name]:
        raise BundleFileCorrupted(
            f"{file_name} ({len(content)} bytes) does not have the digest that the manifest"
            " states; copy or publish the bundle again"
        )
    return content


def read_bundle_at(folder: Path) -> Bundle:
    """Read the bundle in a folder ``<name>/<version>/``; name and version are those of the folder.

    Raises:
        BundleNotFound: The folder is not a version of a model.
        BundleError: As ``read_bundle``.
    """
    resolved = folder.resolve()
    if not (resolved.is_dir() and is_version(resolved.name)):
        raise BundleNotFound(f"{folder} is not a bundle; a folder <name>/<version> is expected")
    return read_bundle(BundleLocation(resolved.parent.name, int(resolved.name), resolved))


def read_file(folder: Path, file_name: str, max_bytes: int) -> bytes:
    """Read a plain file inside a folder, whatever else has its name and whatever its size is.

    Args:
        folder: The folder of a bundle.
        file_name: Name of the file.
        max_bytes: Maximum size of the file.

    Raises:
        BundleNotFound: The manifest is missing or cannot be read.
        BundleFileMissing: Another file is missing or cannot be read.
        UnsafeBundlePath: It is a link to outside, a folder, a pipe or a device.
        BundleTooLarge: It has more bytes.
    """
    missing = BundleNotFound if file_name == MANIFEST_FILE else BundleFileMissing
    try:
        real = (folder / file_name).resolve(strict=True)
        if not real.is_relative_to(folder.resolve()):
            raise UnsafeBundlePath(_NOT_PLAIN.format(file_name))
        # Without O_NONBLOCK a pipe would wait for a writer.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnsafeBundlePath(_NOT_PLAIN.format(file_name))
            if status.st_size > max_bytes:
                raise BundleTooLarge(
                    f"{file_name} has {status.st_size} bytes, of which {max_bytes} are read; see"
                    " LATENTSERVE_MAX_BUNDLE_BYTES"
                )
            return file.read(status.st_size + 1)  # one more: it may grow meanwhile
    except (FileNotFoundError, RuntimeError) as error:  # the latter for a link to itself
        raise missing(f"{file_name} is missing") from error
    except IsADirectoryError as error:
        raise UnsafeBundlePath(_NOT_PLAIN.format(file_name)) from error
    except OSError as error:
        raise missing(f"{file_name} cannot be read: {error.strerror}") from error


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
        taken = [int(entry.name) for entry in parent.iterdir() if is_version(entry.name)]
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
