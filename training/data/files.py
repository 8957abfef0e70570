"""Where data files lie: a folder of the user's, or a cache filled from the public originals.

``LATENTSERVE_DATA_DIR`` names the folder; there every file must be. Without it, files are
downloaded once into ``$XDG_CACHE_HOME/latentserve`` (``~/.cache/latentserve``). Nothing is used
before its content has the digest of the public original.
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
        folder: Name of the data set's folder, under the data folder and the cache alike.
        name: File name there.
        url: The public original.
        sha256: Digest of the decoded content: the same file compressed anew has other bytes.
    """

    folder: str
    name: str
    url: str
    sha256: str


def data_dir() -> Path | None:
    """Return the folder of the user's data files, or None when they are to be downloaded."""
    folder = os.environ.get(DATA_DIR_VARIABLE)
    return Path(folder) if folder else None


def cache_dir() -> Path:
    """Return the folder that downloads are kept in."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "latentserve"


def local_file(file: DataFile) -> Path | None:
    """Return where a data file lies in the user's folder, or None where it does not."""
    folder = data_dir()
    path = folder / file.folder / file.name if folder else None
    return path if path and path.is_file() else None


def read_data_file(file: DataFile, decode: Decoder) -> bytes:
    """Read a data file from the user's folder or the cache, downloading it if need be.

    Args:
        file: Which one.
        decode: Turns its bytes into the content that the digest is of: decompresses them, say.

    Returns:
        The decoded content.

    Raises:
        DatasetUnavailable: The file is not in the user's folder, or cannot be downloaded.
        DatasetCorrupted: Its content is not that of the public original.
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
            f" {found}, expected is {file.sha256}"
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
