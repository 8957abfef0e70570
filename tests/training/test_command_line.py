import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from service.bundle.manifest import GOLDEN_FILE
from service.bundle.storage import read_bundle_at
from service.catalog.verification import replay_golden
from training.__main__ import app
from training.pipeline import Publication

pytestmark = pytest.mark.usefixtures("no_data_folder")

# So few epochs that gates fail.
SHORT = [
    *("--set", "training.epochs=3"),
    *("--set", "code_density.components=[1, 2]"),
    *("--allow", "trained for a test"),
]


def latentserve_train(*arguments: object) -> tuple[int, str]:
    """Run the command in this process; return its exit code and all it wrote."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


@pytest.mark.slow
def test_a_recipe_becomes_a_bundle_that_verifies(tmp_path: Path) -> None:
    code, output = latentserve_train(
        "train", "digits-vae", "--models", tmp_path / "models", "--runs", tmp_path / "runs", *SHORT
    )
    verified, verification = latentserve_train("verify", tmp_path / "models/digits-vae/1")

    assert code == 0, output
    assert "epoch 3/3: loss" in output
    assert "parity with Keras" in output
    assert verified == 0, verification
    assert "4 graphs reproduce their golden vectors" in verification
    manifest = read_bundle_at(tmp_path / "models/digits-vae/1").manifest
    assert manifest.code.variational
    assert manifest.priors is not None
    assert manifest.priors.default == "standard-normal"
    assert manifest.provenance.epochs == 3


@pytest.mark.slow
def test_a_finished_run_is_only_exported_again(tmp_path: Path) -> None:
    command = ["train", "digits-stacked", "--models", tmp_path / "models"]
    options = ["--runs", tmp_path / "runs", *SHORT]
    latentserve_train(*command, *options)

    code, output = latentserve_train(*command, *options, "--set", "description=Other words.")

    first = read_bundle_at(tmp_path / "models/digits-stacked/1")
    second = read_bundle_at(tmp_path / "models/digits-stacked/2")
    assert code == 0, output
    assert "epoch" not in output.split("published")[0]
    assert second.manifest.description == "Other words."
    golden, again = first.arrays(GOLDEN_FILE), second.arrays(GOLDEN_FILE)
    assert golden.keys() == again.keys()
    for name, vectors in golden.items():
        np.testing.assert_array_equal(again[name], vectors)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["digits"], "error: recipe 'digits' not found"),
        (["digits-vae", "--set", "training.epoch=3"], "training.epoch: unknown field"),
        (["digits-vae", "--set", "data.dataset=imagenet"], "'imagenet' is not a data source"),
        (
            ["digits-vae", "--set", "data.test_rows=1500"],
            "expected fewer than the 1797 that there are",
        ),
        (
            ["digits-vae", "--set", 'data.normal_classes=["ten"]'],
            "has no class 'ten'; it has 0, 1, 2",
        ),
        (
            ["digits-vae", "--set", 'anomaly.scores=["surprise"]'],
            "'surprise' is not a score; there are atypicality, reconstruction-error",
        ),
    ],
)
def test_a_wrong_recipe_is_rejected_in_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    code, output = latentserve_train("train", *arguments, "--models", tmp_path, "--runs", tmp_path)

    assert code == 2
    assert sentence in output
    assert len(output.strip().splitlines()) == 1


def test_missing_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTSERVE_DATA_DIR", str(tmp_path))

    code, output = latentserve_train("train", "mnist-stacked", "--models", tmp_path)

    assert code == 1
    assert "train-images-idx3-ubyte.gz cannot be read" in output


@pytest.mark.parametrize("option", ["--models", "--runs"])
def test_a_folder_that_cannot_be_written_ends_the_command_before_the_first_epoch(
    option: str, tmp_path: Path
) -> None:
    folders = {"--models": tmp_path / "models", "--runs": tmp_path / "runs", option: "/proc/none"}
    settings = [part for pair in folders.items() for part in pair]

    code, output = latentserve_train("train", "plane-pca", *settings)

    assert code == 1
    assert "and /proc cannot be written: " in output
    assert len(output.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_of_two_trainings_of_one_recipe_one_says_so_and_one_waits(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "training", "train", "plane-pca"]
    folders = ["--models", str(tmp_path / "models"), "--runs", str(tmp_path / "runs")]
    command = [*program, *folders, "--no-rehearsal", "--set", "training.epochs=30"]
    command += ["--allow", "trained for a test"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline().startswith("epoch  1/30")
        first.send_signal(signal.SIGSTOP)
        code, output = latentserve_train(*command[3:])
        with subprocess.Popen(
            [*command, "--wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as second:
            assert second.stderr is not None
            announced = second.stderr.readline()
            first.send_signal(signal.SIGCONT)
            said, _ = first.communicate()
            said_later, _ = second.communicate()

    assert code == 3
    assert f"is used by process {first.pid} on" in output
    assert f"is used by process {first.pid} on" in announced
    assert (first.returncode, second.returncode) == (0, 0)
    assert "epoch 30/30" in said
    assert "epoch 30/30" not in said_later
    versions = [tmp_path / "models/plane-pca" / version for version in ("1", "2")]
    golden, again = (read_bundle_at(folder).arrays(GOLDEN_FILE) for folder in versions)
    for name, vectors in golden.items():
        np.testing.assert_array_equal(again[name], vectors)


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_the_command_with_a_sentence(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "training", "train", "plane-pca", "--no-rehearsal"]
    folders = ["--models", str(tmp_path / "models"), "--runs", str(tmp_path / "runs")]
    with subprocess.Popen(
        [*program, *folders], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()

    assert process.returncode == 1
    assert said.startswith("error: nothing reads the output any more; the same command continues")
    assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_a_program_without_standard_streams_keeps_its_checkpoints_whole(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "training", "train", "plane-pca", "--no-rehearsal"]
    folders = ["--models", str(tmp_path / "models"), "--runs", str(tmp_path / "runs")]
    command = shlex.join([*program, *folders, "--set", "training.epochs=3", "--allow", "a test"])

    done = subprocess.run(["/bin/sh", "-c", f"{command} <&- >&- 2>&-"], check=False)

    assert done.returncode == 0
    assert replay_golden(read_bundle_at(tmp_path / "models/plane-pca/1")) < 1e-4
    (run,) = (tmp_path / "runs").iterdir()
    with np.load(run / "latest.npz") as latest:
        assert "history" in latest.files


@pytest.mark.slow
def test_an_altered_bundle_does_not_verify(publication: Publication, tmp_path: Path) -> None:
    name = publication.location.name
    shutil.copytree(publication.location.folder, tmp_path / name / "1")
    path = tmp_path / name / "1" / "encoder.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    code, output = latentserve_train("verify", path.parent)

    assert code == 1
    assert "error: encoder.onnx" in output
