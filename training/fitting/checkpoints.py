"""Checkpoints: a run continues after any interruption, SIGKILL included.

``<runs>/<recipe name>-<weights digest>/`` holds

- ``latest.npz``: variables after the last finished epoch, and the history;
- ``best.npz``: weights of the best epoch;
- ``recipe.json``: the recipe, to be read by people;
- ``data.json``: the digest of the data, by which a run on changed data is refused;
- ``lock``: of the process that trains, see ``training.fitting.run_lock``.

Files are replaced atomically.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict
from pathlib import Path
from typing import Self

import keras
import numpy as np
from pydantic import JsonValue

from training.errors import FolderUnusable, RunCorrupted
from training.fitting.history import EpochRecord
from training.folders import write_atomically
from training.recipe.recipe import Recipe
from training.tensors import to_numpy

_HISTORY = "history"


class RunFolder:
    """Checkpoints of one recipe's run."""

    def __init__(self, runs_dir: Path, recipe: Recipe) -> None:
        """Determine the path of the folder; it is created by the first checkpoint.

        Args:
            runs_dir: The folder of all runs.
            recipe: Recipes of one weights digest share a folder.
        """
        self.path = runs_dir / f"{recipe.name}-{recipe.weights_digest()}"
        self._recipe = recipe

    def stage(self, number: int) -> Self:
        """Return the folder of a layer-wise stage, inside this one.

        Args:
            number: Of the stage, from 1.
        """
        folder = copy(self)
        folder.path = self.path / f"stage-{number}"
        return folder

    def save_best(self, weights: Sequence[keras.Variable]) -> None:
        """Save the weights of the best epoch so far; to be called before ``save_latest``.

        After an interruption between the two calls the epoch runs again, to the same weights.
        """
        self._replace("best.npz", _archive(_values(weights)))

    def save_latest(
        self, variables: Sequence[keras.Variable], history: Sequence[EpochRecord]
    ) -> None:
        """Save everything that the next epoch depends on."""
        records = json.dumps([asdict(record) for record in history]).encode()
        arrays = _values(variables) | {_HISTORY: np.frombuffer(records, np.uint8)}
        self._replace("latest.npz", _archive(arrays))
        self._replace("recipe.json", json.dumps(self._recipe.to_json(), indent=1).encode())

    def restore_latest(self, variables: Sequence[keras.Variable]) -> list[EpochRecord]:
        """Set variables to the state after the last finished epoch.

        Returns:
            The history so far; empty, with variables unchanged, without a checkpoint.

        Raises:
            RunCorrupted: The checkpoint cannot be read, or is of another model.
        """
        path = self.path / "latest.npz"
        if not path.is_file():
            return []
        arrays = _read_archive(path)
        _assign(variables, arrays, path)
        return _history(arrays, path)

    def history(self) -> list[EpochRecord]:
        """Return the finished epochs without restoring them; empty without a checkpoint.

        Raises:
            RunCorrupted: The checkpoint cannot be read.
        """
        path = self.path / "latest.npz"
        return _history(_read_archive(path), path) if path.is_file() else []

    def claim_for_data(self, sha256: str) -> None:
        """Note which data the run is trained on, or compare it with what is noted.

        Args:
            sha256: Digest of the data.

        Raises:
            RunCorrupted: The checkpoints are of other data.
        """
        path = self.path / "data.json"
        noted = _read_json(path).get("sha256") if path.is_file() else None
        if noted not in (None, sha256):
            raise RunCorrupted(
                f"{self.path} was trained on other data, of SHA-256 {noted}; that of the data is"
                f" {sha256} now: remove the folder to train from the start"
            )
        if noted is None:
            self._replace(path.name, json.dumps({"sha256": sha256}).encode())

    def restore_best(self, weights: Sequence[keras.Variable]) -> None:
        """Set weights to those of the best epoch.

        Raises:
            RunCorrupted: The checkpoint is missing, cannot be read, or is of another model.
        """
        path = self.path / "best.npz"
        _assign(weights, _read_archive(path), path)

    def _replace(self, name: str, content: bytes) -> None:
        try:
            write_atomically(self.path / name, content)
        except FolderUnusable as error:
            raise FolderUnusable(
                f"{error}. The last finished epoch is kept: the same command continues after it"
            ) from error


def _values(variables: Sequence[keras.Variable]) -> dict[str, np.ndarray]:
    return {variable.path: to_numpy(variable) for variable in variables}


def _archive(arrays: Mapping[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]  # its allow_pickle is a bool
    return content.getvalue()


def _read_archive(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise RunCorrupted(
            f"{path} cannot be read; remove the folder to train from the start"
        ) from error


def _history(arrays: Mapping[str, np.ndarray], path: Path) -> list[EpochRecord]:
    try:
        records = json.loads(arrays[_HISTORY].tobytes())
        return [EpochRecord(**record) for record in records]
    except (KeyError, TypeError, ValueError) as error:
        raise RunCorrupted(f"{path} has no history of its epochs") from error


def _read_json(path: Path) -> dict[str, JsonValue]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunCorrupted(
            f"{path} cannot be read; remove the folder to train from the start"
        ) from error
    return content if isinstance(content, dict) else {}


def _assign(
    variables: Sequence[keras.Variable], arrays: Mapping[str, np.ndarray], path: Path
) -> None:
    expected = {variable.path: tuple(variable.shape) for variable in variables}
    found = {name: array.shape for name, array in arrays.items() if name != _HISTORY}
    if found != expected:
        raise RunCorrupted(
            f"{path} has {len(found)} variables of another model, this recipe has"
            f" {len(expected)}; remove the folder to train from the start"
        )
    for variable in variables:
        variable.assign(arrays[variable.path])
