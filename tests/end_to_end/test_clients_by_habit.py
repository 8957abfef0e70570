"""What application developers send without reading, with the programs that they send it with."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import requests
from PIL import Image

from tests.bundles import PLANE, STAMP
from tests.end_to_end.servers import Server, serving

PIXELS = np.arange(24, dtype=np.uint8).reshape(6, 4) * 10
STAMPS = np.stack([PIXELS, 255 - PIXELS])
CODES = STAMP.encode(STAMPS[..., None].astype(np.float32) / np.float32(255))
SECONDS = 30


@dataclass(frozen=True)
class Place:
    """A running service, and the files that a developer has at hand."""

    server: Server
    folder: Path

    @property
    def url(self) -> str:
        return f"{self.server.url}/encode?model=stamp"

    def run(self, *command: str) -> bytes:
        """Run a program in the folder, and return what it prints."""
        done = subprocess.run(
            command, cwd=self.folder, check=True, capture_output=True, timeout=SECONDS
        )
        return done.stdout

    def curl(self, *arguments: str, url: str | None = None) -> dict[str, Any]:
        return json.loads(self.run("curl", "--silent", "--show-error", *arguments, url or self.url))


@pytest.fixture(scope="module")
def place(tiny_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("files")
    for name, pixels in zip(("a", "b"), STAMPS, strict=True):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    np.save(folder / "rows.npy", STAMPS)
    body = {"model": "plane", "inputs": PLANE.rows(2).tolist()}
    (folder / "rows.json").write_text(json.dumps(body), encoding="utf-8-sig")
    with serving(
        tiny_models_dir, tmp_path_factory.mktemp("log") / "log", "--no-access-log"
    ) as server:
        yield Place(server, folder)


def are_codes(answer: dict[str, Any], expected: np.ndarray) -> None:
    np.testing.assert_allclose(answer["codes"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["-F", "file=@a.png"], [0]),
        (["-F", "a=@a.png", "-F", "b=@b.png", "-F", "decimals=6"], [0, 1]),
        (["-F", "rows=@rows.npy"], [0, 1]),
        (["--data-binary", "@a.png"], [0]),
        (["--data-binary", "@b.png", "-H", "Content-Type:"], [1]),
        (["--data-binary", "@a.png", "-H", "Content-Type: image/png"], [0]),
        (["--data-binary", "@a.png", "-H", "Content-Type: image/jpg"], [0]),
        (["--data-binary", "@a.png", "-H", "Content-Type: application/octet-stream"], [0]),
        (["--data-binary", "@rows.npy"], [0, 1]),
        (["-T", "a.png", "-X", "POST"], [0]),
        (["--compressed", "--data-binary", "@a.png"], [0]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_curl_sends_pictures_and_arrays(
    place: Place, arguments: list[str], rows: list[int]
) -> None:
    are_codes(place.curl(*arguments), CODES[rows])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "@rows.json"],
        ["--data-binary", "@rows.json", "-H", "Content-Type: text/plain;charset=UTF-8"],
        ["--json", "@rows.json"],
        ["--data-binary", "@rows.json", "-H", "Content-Type: application/vnd.api+json"],
    ],
    ids=" ".join,
)
def test_curl_sends_json_by_any_name_and_with_a_byte_order_mark(
    place: Place, arguments: list[str]
) -> None:
    answer = place.curl(*arguments, url=f"{place.server.url}/encode")

    are_codes(answer, PLANE.encode(PLANE.rows(2)))


@pytest.mark.parametrize(("program", "coding"), [("gzip", "gzip"), ("zstd", "zstd")])
def test_a_file_compressed_by_a_program_is_read(place: Place, program: str, coding: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (place.folder / "rows.packed").write_bytes(place.run(program, "-c", "rows.npy"))

    answer = place.curl(
        *("--data-binary", "@rows.packed", "-H", f"Content-Encoding: {coding}"),
        *("-H", "Content-Type: application/x-npy"),
    )

    are_codes(answer, CODES)


def test_a_picture_whose_line_ends_curl_took_out_is_named(place: Place) -> None:
    problem = place.curl("--data", "@a.png")

    assert problem["status"] == 415
    assert "curl --data-binary" in problem["detail"]


def test_requests_sends_files(place: Place) -> None:
    with (place.folder / "a.png").open("rb") as a, (place.folder / "b.png").open("rb") as b:
        one = requests.post(place.url, files={"file": a}, timeout=SECONDS)
        a.seek(0)
        two = requests.post(
            place.url, files=[("file", a), ("file", b)], data={"ids": ["x", "y"]}, timeout=SECONDS
        )

    are_codes(one.json(), CODES[:1])
    are_codes(two.json(), CODES)
    assert two.json()["ids"] == ["x", "y"]


def test_requests_sends_an_open_file_and_bytes(place: Place) -> None:
    with (place.folder / "a.png").open("rb") as a:
        are_codes(requests.post(place.url, data=a, timeout=SECONDS).json(), CODES[:1])
    body = (place.folder / "b.png").read_bytes()
    are_codes(requests.post(place.url, data=body, timeout=SECONDS).json(), CODES[1:])


def test_httpx_sends_files_and_reads_compressed_answers(place: Place) -> None:
    content = (place.folder / "a.png").read_bytes()
    are_codes(httpx.post(place.url, files={"file": content}).json(), CODES[:1])

    url = f"{place.server.url}/decode?model=postcard"
    answer = httpx.post(url, json={"codes": [[0.5, -1.0]] * 900})

    assert answer.headers["content-encoding"] in ("gzip", "zstd")
    assert np.shape(answer.json()["outputs"]) == (900, 3, 5, 3)


_FETCH = """
const {readFileSync} = require('fs');
const url = process.argv[1];
const picture = readFileSync('a.png');
async function post(body, headers) {
    const answer = await fetch(url, {method: 'POST', body, headers});
    return [answer.headers.get('content-type'), await answer.json()];
}
async function main() {
    const form = new FormData();
    form.append('file', new Blob([picture], {type: 'image/png'}), 'a.png');
    form.append('ids', 'x');
    const text = 'data:image/png;base64,' + picture.toString('base64');
    console.log(JSON.stringify([
        await post(form),
        await post(JSON.stringify({inputs: [text], ids: ['x']})),
        await post(JSON.stringify({inputs: [picture.toString('base64url')], ids: ['x']})),
    ]));
}
main();
"""


def test_fetch_sends_forms_texts_and_data_urls(place: Place) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")

    answers = json.loads(place.run("node", "-e", _FETCH, place.url))

    assert len(answers) == 3
    for content_type, answer in answers:
        assert content_type == "application/json", answer
        are_codes(answer, CODES[:1])
        assert answer["ids"] == ["x"]
