"""The command line: what it prints, and how it ends."""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from service.__main__ import main
from service.settings import PREFIX
from tests.bundles import PLANE, STAMP, TINY_MODELS, publish_tiny

pytestmark = pytest.mark.usefixtures("restored_logging")


@dataclass(frozen=True)
class Ending:
    """How a run of the program ended, and what it wrote."""

    status: int
    out: str
    err: str


Run = Callable[..., Ending]


@pytest.fixture
def latentserve(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Run the program in this process, in an empty folder and on a wide terminal."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    def run(*arguments: str | Path) -> Ending:
        monkeypatch.setattr(sys, "argv", ["latentserve", *map(str, arguments)])
        try:
            main()
        except SystemExit as ending:
            status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        else:
            status = 0
        written = capsys.readouterr()
        return Ending(status, written.out, written.err)

    return run


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", PLANE.rows(6, seed=2))
    return tmp_path / "rows.npy"


def cells(table: str) -> list[list[str]]:
    rows = [line for line in table.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]


def test_models_lists_every_bundle_with_what_it_is(latentserve: Run, tiny_models_dir: Path) -> None:
    ending = latentserve("models", "--models", tiny_models_dir)
    listed = {row[0]: row[1:] for row in cells(ending.out)}

    assert ending.status == 0
    assert listed.keys() == {model.name for model in TINY_MODELS}
    calls = "encode, decode, reconstruct, anomaly-score, sample"
    assert listed["plane"] == ["1", "tabular (4,)", "(2,)", calls, "sound"]
    assert listed["stamp"] == ["1", "image (6, 4, 1)", "(2,)", f"{calls}, denoise", "sound"]


def test_models_tells_which_bundle_is_refused_and_why(latentserve: Run, tmp_path: Path) -> None:
    publish_tiny(tmp_path, PLANE)
    (publish_tiny(tmp_path, STAMP).folder / "encoder.onnx").unlink()
    plane, stamp = cells(latentserve("models", "--models", tmp_path).out)

    assert (plane[0], plane[-1]) == ("plane", "sound")
    assert (stamp[0], stamp[-1]) == ("stamp", "refused: encoder.onnx is missing")


def test_the_models_folder_can_be_a_variable(
    latentserve: Run, tiny_models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATENTSERVE_MODELS_DIR", str(tiny_models_dir))

    assert len(cells(latentserve("models").out)) == len(TINY_MODELS)


def test_score_writes_a_line_per_row_with_the_figures_of_numpy(
    latentserve: Run, tiny_models_dir: Path, rows_file: Path
) -> None:
    ending = latentserve(
        "score", rows_file, "--models", tiny_models_dir, "--model", "plane",
        "--version", "1", "--false-positive-rate", "0.3",
    )  # fmt: skip
    records = list(csv.DictReader(io.StringIO(ending.out, newline="")))
    scores = np.array([float(record["score"]) for record in records])
    p_values = [(1 + (PLANE.calibration >= score).sum()) / 100 for score in scores]

    assert (ending.status, ending.err) == (0, "")
    assert ending.out.splitlines()[0] == "row,score,p_value,anomaly"
    assert "\r" not in ending.out
    assert [record["row"] for record in records] == ["0", "1", "2", "3", "4", "5"]
    assert np.allclose(scores, PLANE.score(PLANE.rows(6, seed=2)), rtol=1e-5)
    assert [float(record["p_value"]) for record in records] == p_values
    assert [record["anomaly"] for record in records] == [str(int(p <= 0.3)) for p in p_values]
    assert {record["anomaly"] for record in records} == {"0", "1"}


def test_score_warns_where_a_rate_cannot_be_kept_and_still_scores(
    latentserve: Run, tiny_models_dir: Path, rows_file: Path
) -> None:
    ending = latentserve(
        "score", rows_file, "--models", tiny_models_dir, "--model", "plane",
        "--false-positive-rate", "0.001",
    )  # fmt: skip

    assert ending.status == 0
    assert "99 calibration rows are too few" in ending.err
    assert all(line.endswith(",0") for line in ending.out.splitlines()[1:])


WRONG_OPTIONS: dict[str, tuple[list[str], str]] = {
    "a model that is not there": (["--model", "nobody"], "no such bundle"),
    "a version that is not there": (["--model", "plane", "--version", "7"], "no such bundle"),
    "no model among several": ([], "name a model; there are labelled, people, plane"),
    "a model of other rows": (["--model", "stamp"], "the array has shape (6, 4)"),
    "a model that needs conditions": (["--model", "labelled"], "needs conditions"),
    "a rate of one": (
        ["--model", "plane", "--false-positive-rate", "1"],
        "false_positive_rate is not between 0 and 1",
    ),
}


@pytest.mark.parametrize("fault", WRONG_OPTIONS)
def test_a_wrong_option_is_one_sentence_and_status_2(
    fault: str, latentserve: Run, tiny_models_dir: Path, rows_file: Path
) -> None:
    options, sentence = WRONG_OPTIONS[fault]
    ending = latentserve("score", rows_file, "--models", tiny_models_dir, *options)

    assert (ending.status, ending.out) == (2, "")
    assert ending.err.startswith("latentserve: ")
    assert ending.err.count("\n") == 1
    assert sentence in ending.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["models", "--models", "nowhere"], "'nowhere' does not exist"),
        (["models"], "'models' does not exist"),
        (["score", "nothing.npy"], "'nothing.npy' does not exist"),
        (["score", "."], "'.' is a directory"),
        (["score"], "Missing argument"),
        (["models", "--verbose"], "No such option"),
        (["score", __file__, "--version", "one"], "Invalid value for '--version'"),
        (["predict"], "No such command 'predict'"),
    ],
)
def test_what_is_not_there_is_named_with_status_2(
    arguments: list[str], reason: str, latentserve: Run
) -> None:
    ending = latentserve(*arguments)

    assert (ending.status, ending.out) == (2, "")
    assert reason in ending.err
    assert "Traceback" not in ending.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--port", "http"], "port: "),
        (["--models-dir", "nowhere"], "the models folder nowhere does not exist"),
        (["--models-dir", ".", "--default-model", "plane"], "the default model plane is not"),
        (["--models-dir", ".", "--pinned-versions", "plane=1"], "the pinned version 1 of plane"),
        (["--models-dir", ".", "--required-models", "plane"], "the required model plane is not"),
        (["--models-dir", ".", "--providers", "tpu"], "unknown provider 'tpu'"),
        (["--max-rows", "2", "--max-queue-rows", "1"], "max_queue_rows is below max_rows"),
    ],
)
def test_a_service_that_cannot_start_says_why_in_one_sentence_with_status_2(
    arguments: list[str], reason: str, latentserve: Run
) -> None:
    ending = latentserve("serve", *arguments)

    assert (ending.status, ending.out) == (2, "")
    assert ending.err.startswith("latentserve: ")
    assert ending.err.count("\n") == 1
    assert reason in ending.err


def test_an_unknown_variable_keeps_the_service_from_starting(
    latentserve: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATENTSERVE_PROT", "81")
    ending = latentserve("serve")

    assert ending.status == 2
    assert ending.err.startswith("latentserve: unknown variable LATENTSERVE_PROT ")


def test_help_of_serve_is_that_of_the_settings(latentserve: Run) -> None:
    ending = latentserve("serve", "--help")

    assert ending.status == 0
    assert "--max-queue-rows" in ending.out


def test_without_a_command_the_help_is_shown(latentserve: Run) -> None:
    ending = latentserve()

    for command in ("serve", "models", "score"):
        assert command in ending.out + ending.err


@pytest.mark.parametrize(
    "program",
    [[sys.executable, "-m", "service"], [str(Path(sys.executable).with_name("latentserve"))]],
    ids=["python -m service", "latentserve"],
)
def test_the_installed_program_scores(
    program: list[str], tiny_models_dir: Path, rows_file: Path
) -> None:
    run = subprocess.run(
        [*program, "score", rows_file, "--models", tiny_models_dir, "--model", "plane"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert len(run.stdout.splitlines()) == 7


def test_the_installed_program_ends_with_status_2(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("latentserve")
    run = subprocess.run(
        [program, "serve", "--models-dir", tmp_path / "nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 2
    assert run.stderr.startswith("latentserve: the models folder")
    assert run.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
@pytest.mark.parametrize("command", ["models", "score"])
def test_an_output_that_cannot_be_written_is_one_sentence(
    command: str, tiny_models_dir: Path, rows_file: Path
) -> None:
    options = ["--model", "plane", rows_file] if command == "score" else []
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "service", command, "--models", tiny_models_dir, *options],
            cwd=Path(__file__).parents[1],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert run.returncode == 1
    assert run.stderr == "latentserve: the output cannot be written: No space left on device\n"
