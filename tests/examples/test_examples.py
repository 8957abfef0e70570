"""The examples run as programs against a real server, and what they print and write is right."""

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.servers import ROOT, START_SECONDS, environment, serving

EXAMPLES = ROOT / "examples"
PRINTED = (EXAMPLES / "README.md").read_text(encoding="utf-8")
NPY = "application/x-npy"
BEATS = np.load(ROOT / "docs/examples/beats.npy")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(ROOT / "models", tmp_path_factory.mktemp("server") / "log") as server:
        yield server.url


def run(
    program: str, *arguments: str | Path, lines: str = ""
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / program, *arguments],
        env=environment(),
        input=lines,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def answer(url: str, path: str, rows: np.ndarray, **query: str | float) -> np.ndarray:
    body = BytesIO()
    np.save(body, rows)
    headers = {"content-type": NPY, "accept": NPY}
    response = httpx.post(f"{url}{path}", params=query, headers=headers, content=body.getvalue())
    assert response.status_code == 200, response.text
    return np.load(BytesIO(response.content))


def as_csv(beats: dict[str, list[object]]) -> str:
    text = StringIO()
    csv.writer(text).writerows([[name, *values] for name, values in beats.items()])
    return text.getvalue()


def test_every_example_is_described_with_what_it_prints() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")}

    assert set(re.findall(r"\]\((\w+\.py)\)", PRINTED)) == programs
    assert set(re.findall(r"\$ python examples/(\w+\.py)", PRINTED)) == programs


@pytest.mark.slow
def test_a_digit_comes_back_with_the_error_of_the_model(url: str) -> None:
    run_of_it = run("encode_and_decode.py", "--url", url)

    lines = run_of_it.stdout.splitlines()
    body = (ROOT / "docs/examples/digit.json").read_bytes()
    digit = np.array(httpx.Response(200, content=body).json()["inputs"], np.float32)
    again = answer(url, "/reconstruct", digit, model="mnist-stacked").reshape(digit.shape)
    assert (run_of_it.returncode, run_of_it.stderr) == (0, "")
    assert lines[0] == "784 pixels became 30 numbers"
    assert float(lines[1].rpartition(" ")[2]) == pytest.approx(np.mean((again - digit) ** 2), 0.02)
    assert [len(line) for line in lines[2:]] == [28] * 14


def test_the_beats_in_text_are_the_beats_in_numbers() -> None:
    lines = csv.reader((ROOT / "docs/examples/beats.csv").read_text().splitlines())

    assert np.array_equal(np.array([line[1:] for line in lines], np.float32), BEATS)


def test_beats_that_are_not_normal_are_named_in_order_with_their_p_values(url: str) -> None:
    rows = np.tile(BEATS, (50, 1)) + np.linspace(0, 0.2, 100, dtype=np.float32)[:, None]
    judged = answer(url, "/anomaly-score", rows, model="ecg5000", false_positive_rate=0.05)
    expected = [
        f"patient 7, beat {number} is abnormal: p = {verdict['p_value']:.4f}"
        for number, verdict in enumerate(judged)
        if verdict["anomaly"]
    ]

    lines = as_csv({f"patient 7, beat {number}": [*row] for number, row in enumerate(rows)})
    arguments = ("--url", url, "--rate", "0.05", "--batch", "7")
    watched = run("watch_heart_beats.py", *arguments, lines=lines)

    assert (watched.returncode, watched.stderr) == (0, "")
    assert watched.stdout.splitlines() == expected
    assert 50 <= len(expected) < 100


def test_a_beat_that_is_rejected_does_not_take_its_batch_along(url: str) -> None:
    beats: dict[str, list[object]] = {f"short {number}": [0.5, 1] for number in range(12)}
    beats |= {"words": ["n/a"] * 140, "hole": [*BEATS[1, :-1], "nan"], "sick": [*BEATS[1]]}

    arguments = ("--url", url, "--rate", "0.05")
    watched = run("watch_heart_beats.py", *arguments, lines=as_csv(beats))

    assert (watched.returncode, watched.stdout) == (0, "sick is abnormal: p = 0.0050\n")
    left_out = [line.partition(" is left out: ")[0] for line in watched.stderr.splitlines()]
    assert left_out == list(beats)[:-1]


def test_a_picture_is_cleaned_as_the_model_computes(url: str, tmp_path: Path) -> None:
    noisy = ROOT / "docs/examples/noisy-boot.png"
    other = tmp_path / "other.png"
    with Image.open(noisy) as picture:
        picture.rotate(90).save(other)

    cleaned = run("denoise_pictures.py", noisy, other, "--into", tmp_path / "clean", "--url", url)

    assert (cleaned.returncode, cleaned.stderr) == (0, "")
    printed = r"(noisy-boot|other)\.png: clean after [0-9.]+ ms\n"
    assert sorted(re.findall(printed, cleaned.stdout)) == ["noisy-boot", "other"]
    for path in (noisy, other):
        with Image.open(path) as before, Image.open(tmp_path / "clean" / path.name) as after:
            rows = np.asarray(before)[None]
            pixels = 255 * answer(url, "/denoise", rows, model="fashion-denoiser").clip(0, 1)
            assert np.abs(np.asarray(after) - pixels[0, :, :, 0]).max() <= 0.51


@pytest.mark.slow
def test_a_picture_that_is_rejected_is_said_why(url: str, tmp_path: Path) -> None:
    Image.new("L", (20, 30)).save(tmp_path / "small.png")

    cleaned = run("denoise_pictures.py", tmp_path / "small.png", "--into", tmp_path, "--url", url)

    assert (cleaned.returncode, cleaned.stdout) == (1, "")
    assert cleaned.stderr.startswith("small.png: ")
    assert "28" in cleaned.stderr
