"""Files of public data sets: in a folder of the user, or downloaded once into a cache.

- ``LATENTSERVE_DATA_DIR``, if set, is the folder that must have every file.
- Otherwise files are downloaded into ``$XDG_CACHE_HOME/latentserve`` (``~/.cache/latentserve``).
- The content of every file must have the digest of the public original.
"""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from training.errors import DatasetCorrupted, DatasetUnavailable
from training.folders import write_atomically

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
    """Return the folder of downloaded files.

    Raises:
        DatasetUnavailable: The user has no home folder.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(root) if root else Path.home() / ".cache") / "latentserve"
    except RuntimeError as error:
        raise DatasetUnavailable(
            "this user has no home folder: set XDG_CACHE_HOME to a folder for downloads and runs"
        ) from error


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
        if not local.is_dir():
            raise DatasetUnavailable(f"{DATA_DIR_VARIABLE}: {local} is not a folder")
        remedy = f"unset {DATA_DIR_VARIABLE} to download the public original"
        return _content(local / file.folder / file.name, file, decode, remedy)
    cached = cache_dir() / file.folder / file.name
    if cached.exists():
        return _content(cached, file, decode, "remove it to download the public original again")
    raw = _download(file.url)
    content = _verified(raw, file, decode, file.url)
    write_atomically(cached, raw)
    return content


def _content(path: Path, file: DataFile, decode: Decoder, remedy: str) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DatasetUnavailable(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    try:
        return _verified(raw, file, decode, str(path))
    except DatasetCorrupted as error:
        raise DatasetCorrupted(f"{error}; {remedy}") from error


def _verified(raw: bytes, file: DataFile, decode: Decoder, place: str) -> bytes:
    try:
        content = decode(raw)
    except DatasetCorrupted as error:
        raise DatasetCorrupted(f"{place} is not complete: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DatasetCorrupted(
            f"{file.folder}/{file.name} is not the public original: {place} has content of"
            f" SHA-256 {found}, expected {file.sha256}"
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
