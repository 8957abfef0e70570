"""Files of public data sets: in a folder of the user, or downloaded once into a cache.

- ``LATENTSERVE_DATA_DIR``, if set, is the folder that must have every file.
- Otherwise files are downloaded into ``$XDG_CACHE_HOME/latentserve`` (``~/.cache/latentserve``).
- The content of every file must have the digest of the public original.
"""

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from training.errors import DatasetCorrupted, DatasetUnavailable

DATA_DIR_VARIABLE = "LATENTSERVE_DATA_DIR"
DOWNLOAD_TIMEOUT_SECONDS = 60
MAX_DOWNLOAD_BYTES = 200_000_000

Decoder = Callable[[bytes], bytes]


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        folder: Folder of the data set, in the data folder and in the cache.
        name: Name of the file.
        url: Address of the public original.
        sha256: Digest of the decoded content, which does not depend on the compression.
    """

    folder: str
    name: str
    url: str
    sha256: str


def data_dir() -> Path | None:
    """Return the folder of the user's data files, or None if files are downloaded."""
    folder = os.environ.get(DATA_DIR_VARIABLE)
    return Path(folder) if folder else None


def cache_dir() -> Path:
    """Return the folder of downloaded files."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "latentserve"


def local_file(file: DataFile) -> Path | None:
    """Return the path of a data file in the user's folder, or None if it is not there."""
    folder = data_dir()
    path = folder / file.folder / file.name if folder else None
    return path if path and path.is_file() else None


def read_data_file(file: DataFile, decode: Decoder) -> bytes:
    """Read a data file from the user's folder or the cache; download it if it is in neither.

    Args:
        file: The file.
        decode: From the bytes of the file to the content that the digest is of; decompression.

    Returns:
        The decoded content.

    Raises:
        DatasetUnavailable: The file is not in the user's folder, or cannot be downloaded.
        DatasetCorrupted: The content does not have the digest.
    """
    local = data_dir()
    if local is not None:
        return _verified(_read(local / file.folder / file.name), file, decode)
    cached = cache_dir() / file.folder / file.name
    if cached.is_file():
        return _verified(_read(cached), file, decode)
    raw = _download(file.url)
    content = _verified(raw, file, decode)
    _keep(cached, raw)
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetUnavailable(
            f"{path} cannot be read ({error.strerror}); unset {DATA_DIR_VARIABLE} to download the"
            " public original"
        ) from error


def _verified(raw: bytes, file: DataFile, decode: Decoder) -> bytes:
    content = decode(raw)
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DatasetCorrupted(
            f"{file.folder}/{file.name} is not the public original: its content has SHA-256"
            f" {found}, expected {file.sha256}"
        )
    return content


def _download(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "latentserve-train"})  # noqa: S310  # URLs come from data set descriptions, not from users
    try:
        with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT_SECONDS) as response:  # noqa: S310  # as above
            raw: bytes = response.read(MAX_DOWNLOAD_BYTES + 1)
    except (urllib.error.URLError, HTTPException, TimeoutError, OSError) as error:
        raise DatasetUnavailable(f"{url} cannot be downloaded: {error}") from error
    if len(raw) > MAX_DOWNLOAD_BYTES:
        raise DatasetUnavailable(f"{url} has more than {MAX_DOWNLOAD_BYTES} bytes")
    return raw


def _keep(path: Path, raw: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
        draft.write(raw)
    Path(draft.name).replace(path)
