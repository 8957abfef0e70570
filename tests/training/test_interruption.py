"""A training that was interrupted continues to the same result, whatever stopped it."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

EPOCHS = 40
LAST_EPOCH_BEFORE_THE_SIGNAL = 4


def command(folder: Path) -> list[str]:
    overrides = [f"training.epochs={EPOCHS}", f"training.early_stopping.patience_epochs={EPOCHS}"]
    settings = [part for override in overrides for part in ("--set", override)]
    program = [sys.executable, "-m", "training", "train", "digits-stacked", *settings]
    return [*program, "--models", str(folder / "models"), "--runs", str(folder / "runs")]


def finish(folder: Path) -> str:
    """Run training to its end and return what it said."""
    done = subprocess.run(command(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def start_and_stop(folder: Path, stop: Callable[[int], None]) -> tuple[int, str]:
    """Start training, stop it by its process number once some epochs are done, await its end."""
    with subprocess.Popen(
        command(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts its background jobs, and all their children, deaf to SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # one call
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(f"epoch {LAST_EPOCH_BEFORE_THE_SIGNAL:2d}/"):
                stop(process.pid)
                break
        _, errors = process.communicate()
    return process.returncode, errors


def result(folder: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return the history without its times, and the published weights."""
    (run,) = (folder / "runs").iterdir()
    with np.load(run / "latest.npz") as latest:
        history = json.loads(latest["history"].tobytes())
    for record in history:
        del record["seconds"]
    with np.load(run / "best.npz") as best:
        return history, {name: best[name] for name in best.files}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(folder)
    return folder


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_training_that_was_stopped_continues_to_the_same_best_epoch(
    number: signal.Signals, status: int, uninterrupted: Path, tmp_path: Path
) -> None:
    returned, errors = start_and_stop(tmp_path, lambda process: os.kill(process, number))
    assert returned == status
    if number is not signal.SIGKILL:
        assert "the same command continues after the last finished epoch" in errors
    stopped_after = len(result(tmp_path)[0])
    assert LAST_EPOCH_BEFORE_THE_SIGNAL <= stopped_after < EPOCHS
    assert not (tmp_path / "models").exists()

    continues_to_the_same_result(tmp_path, stopped_after, uninterrupted)


def test_a_training_whose_disk_is_full_continues_to_the_same_best_epoch(
    uninterrupted: Path, tmp_path: Path
) -> None:
    def fill_the_disk(process: int) -> None:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (1000, 1000))

    returned, errors = start_and_stop(tmp_path, fill_the_disk)
    assert returned == 1
    assert "Traceback" not in errors
    assert "npz cannot be written: File too large. The last finished epoch is kept" in errors
    assert not list(tmp_path.rglob(".draft-*"))

    continues_to_the_same_result(tmp_path, len(result(tmp_path)[0]), uninterrupted)


def continues_to_the_same_result(folder: Path, stopped_after: int, uninterrupted: Path) -> None:
    """Finish a training, and compare it with one that never stopped."""
    said = finish(folder)
    assert f"epoch {stopped_after + 1:2d}/{EPOCHS}" in said
    assert f"epoch {stopped_after:2d}/{EPOCHS}" not in said
    history, weights = result(folder)
    expected_history, expected_weights = result(uninterrupted)
    assert history == expected_history
    assert weights.keys() == expected_weights.keys()
    for name, expected in expected_weights.items():
        np.testing.assert_array_equal(weights[name], expected, err_msg=name)
