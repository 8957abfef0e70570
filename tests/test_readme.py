"""README's commands are run as written, against a real server with the published bundles."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```console\n\$ (curl .*?)\n```", README, re.DOTALL)
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("server") / "log"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("LATENTSERVE_")
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", "0"],
            cwd=ROOT,
            env=environment,
            stderr=output,
        )
        try:
            yield _address_when_ready(process, log)
        finally:
            process.terminate()
            process.wait(20)


def _address_when_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        found = re.search(r"running on http://([0-9.]+:\d+)", log.read_text())
        if found and httpx.get(f"http://{found[1]}/readyz").status_code == 200:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_there_is_an_example_of_every_call() -> None:
    calls = ("encode", "decode", "reconstruct", "denoise", "anomaly-score", "sample")
    for call in calls:
        assert any(f"localhost:8000/{call}" in example for example in EXAMPLES), call


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_answers_what_the_readme_shows(
    example: str, address: str, tmp_path: Path
) -> None:
    command, _, shown = example.partition("\n")
    while command.endswith("\\"):
        more, _, shown = shown.partition("\n")
        command = command[:-1] + more.strip()
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    finished = subprocess.run(
        ["bash", "-c", command.replace("localhost:8000", address).replace("curl ", "curl -sSf ")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    if written := re.search(r"> (\S+\.png)", command):
        with Image.open(tmp_path / written[1]) as picture:
            assert shown.strip() == f"{picture.width}x{picture.height} {picture.mode}"
    else:
        assert_answer_is(finished.stdout, shown)


def assert_answer_is(answer: str, shown: str) -> None:
    """Compare texts; ``…`` stands for anything, and numbers may differ by rounding."""
    pattern = re.escape(NUMBER.sub("#", _squeeze(shown))).replace("…", ".*?")
    squeezed = _squeeze(answer)
    match = re.fullmatch(pattern.replace(re.escape("#"), f"({NUMBER.pattern})"), squeezed)
    assert match is not None, squeezed
    for found, expected in zip(match.groups(), NUMBER.findall(_squeeze(shown)), strict=True):
        assert float(found) == pytest.approx(float(expected), rel=TOLERANCE, abs=TOLERANCE)


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_make_serve_and_make_test_are_the_two_commands() -> None:
    assert "make serve" in README
    assert "make test" in README
