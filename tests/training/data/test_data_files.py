import gzip
import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from training.data.data_files import DataFile, cache_dir, read_data_file
from training.data.file_parsers import gunzip
from training.errors import DatasetCorrupted, DatasetUnavailable, FolderUnusable

pytestmark = pytest.mark.usefixtures("no_data_folder")

CONTENT = b"rows of a data set"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        pass


@pytest.fixture
def web_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "rows.gz").write_bytes(gzip.compress(CONTENT))
    return folder


@pytest.fixture
def web_url(web_folder: Path) -> Iterator[str]:
    """Serve the folder over HTTP on this machine."""
    handler = partial(QuietHandler, directory=str(web_folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def data_file(url: str, sha256: str = hashlib.sha256(CONTENT).hexdigest()) -> DataFile:
    return DataFile("some-set", "rows.gz", f"{url}rows.gz", sha256)


def test_a_download_is_decoded_verified_and_kept(
    web_url: str, web_folder: Path, tmp_path: Path
) -> None:
    first = read_data_file(data_file(web_url), gunzip)
    (web_folder / "rows.gz").unlink()
    again = read_data_file(data_file(web_url), gunzip)

    assert first == again == CONTENT
    assert (tmp_path / "cache/latentserve/some-set/rows.gz").is_file()


def test_a_download_with_another_digest_is_rejected_and_not_kept(
    web_url: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetCorrupted, match=r"some-set/rows\.gz is not the public original"):
        read_data_file(data_file(web_url, sha256="0" * 64), gunzip)

    assert not list((tmp_path / "cache").rglob("*.gz"))


def test_a_cached_file_that_was_altered_is_rejected(web_url: str, tmp_path: Path) -> None:
    read_data_file(data_file(web_url), gunzip)
    (tmp_path / "cache/latentserve/some-set/rows.gz").write_bytes(gzip.compress(b"altered"))

    with pytest.raises(DatasetCorrupted):
        read_data_file(data_file(web_url), gunzip)


def test_a_file_that_the_site_does_not_have_is_unavailable(web_url: str, web_folder: Path) -> None:
    (web_folder / "rows.gz").unlink()

    with pytest.raises(DatasetUnavailable, match="404"):
        read_data_file(data_file(web_url), gunzip)


def test_a_site_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(DatasetUnavailable, match="cannot be downloaded"):
        read_data_file(data_file("http://127.0.0.1:9/"), gunzip)


def test_the_users_folder_is_used_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "some-set"
    folder.mkdir(parents=True)
    (folder / "rows.gz").write_bytes(gzip.compress(CONTENT, compresslevel=1))
    monkeypatch.setenv("LATENTSERVE_DATA_DIR", str(tmp_path / "data"))

    assert read_data_file(data_file("http://127.0.0.1:9/"), gunzip) == CONTENT


def test_a_file_missing_from_the_users_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATENTSERVE_DATA_DIR", str(tmp_path))

    with pytest.raises(DatasetUnavailable, match=r"some-set/rows\.gz cannot be read.*unset"):
        read_data_file(data_file("http://127.0.0.1:9/"), gunzip)


def test_a_users_folder_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATENTSERVE_DATA_DIR", str(tmp_path / "unmounted"))

    with pytest.raises(DatasetUnavailable, match=r"DATA_DIR: .*unmounted is not a folder"):
        read_data_file(data_file("http://127.0.0.1:9/"), gunzip)


def test_a_download_that_is_cut_short_in_the_cache_is_named_with_the_remedy(
    web_url: str, tmp_path: Path
) -> None:
    read_data_file(data_file(web_url), gunzip)
    cached = tmp_path / "cache/latentserve/some-set/rows.gz"
    cached.write_bytes(cached.read_bytes()[:-9])

    with pytest.raises(DatasetCorrupted, match=r"rows\.gz is not complete: .*; remove it to down"):
        read_data_file(data_file(web_url), gunzip)


def test_a_cached_file_that_cannot_be_read_is_not_blamed_on_the_users_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "cache/latentserve/some-set/rows.gz").mkdir(parents=True)

    with pytest.raises(DatasetUnavailable, match=r"\(Is a directory\); remove it to download"):
        read_data_file(data_file("http://127.0.0.1:9/"), gunzip)


def test_a_cache_that_cannot_be_written_is_named(web_url: str, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")

    with pytest.raises(FolderUnusable, match=r"rows\.gz cannot be written: Not a directory"):
        read_data_file(data_file(web_url), gunzip)


def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", _no_home)

    with pytest.raises(DatasetUnavailable, match="no home folder: set XDG_CACHE_HOME"):
        cache_dir()


def _no_home() -> Path:
    """Raise what ``Path.home`` raises for a user that the system does not know."""
    raise RuntimeError("Could not determine home directory.")
