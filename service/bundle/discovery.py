"""Finds the bundles of a models folder, and says of everything else there why it is not one."""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from service.bundle.manifest import MANIFEST_FILE
from service.errors import ConfigurationError, MisplacedBundle

MAX_VERSION = 2**63 - 1
# As ``manifest.Name``.
_MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]*")
# What people name folders of versions.
_LIKE_A_VERSION = re.compile(r"[vV]?\.?[0-9]+(\.[0-9]+)*")
_MAX_VERSION_DIGITS = len(str(MAX_VERSION))


@dataclass(frozen=True, order=True)
class BundleLocation:
    """Where one version of one model lies: ``<models>/<name>/<version>/``."""

    name: str
    version: int
    folder: Path


@dataclass(frozen=True, order=True)
class RefusedFolder:
    """A folder that looks like a bundle, or like one of bundles, and cannot be served.

    Attributes:
        path: Below the models folder, ``<name>`` or ``<name>/<version>``; bytes that are not UTF-8
            are escaped.
        model: The first part of it.
        reason: Why, in one sentence after the name of the error.
    """

    path: str
    model: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """What a models folder holds.

    Attributes:
        bundles: Folders with the names of a model and a version, by name and ascending version.
        refused: Folders that look like bundles, but cannot be.
        ignored: Paths of what is neither, hidden entries left out.
        misplaced: What the folder itself seems to be instead of one of models, if anything.
    """

    bundles: list[BundleLocation] = field(default_factory=list[BundleLocation])
    refused: list[RefusedFolder] = field(default_factory=list[RefusedFolder])
    ignored: list[str] = field(default_factory=list[str])
    misplaced: str | None = None


def survey_models(models_dir: Path) -> Survey:
    """Look at everything in a models folder, without reading a file.

    Hidden entries (such as ``.git``, an unfinished publication, or those of a mounted volume) are
    not looked at.

    Example:
        With ``models/mnist/1``, ``models/mnist/v2`` and ``models/mnist/.publishing-x``, version 1
        is found, and ``mnist/v2`` refused for its name.

    Args:
        models_dir: The folder that holds ``<name>/<version>/``.

    Raises:
        ConfigurationError: It does not exist, or cannot be listed.
    """
    try:
        names = _list(models_dir)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigurationError(f"the models folder {models_dir} does not exist") from error
    except OSError as error:
        raise ConfigurationError(
            f"the models folder {models_dir} cannot be listed: {error.strerror}"
        ) from error
    survey = Survey(misplaced=_misplacement(models_dir, names))
    for name in names:
        _survey_model(models_dir / name, survey)
    survey.bundles.sort()
    return survey


def is_version(name: str) -> bool:
    """Whether a folder has the name of a version: a positive integer of at most 63 bits."""
    return bool(_VERSION.fullmatch(name)) and not _is_too_large(name)


def _survey_model(folder: Path, survey: Survey) -> None:
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            survey.ignored.append(_shown(folder.name))
            return
        names = _list(folder)
    except OSError as error:
        _refuse(survey, folder.name, f"it cannot be listed: {error.strerror}")
        return
    if not names:
        survey.ignored.append(_shown(folder.name))
    for name in names:
        _survey_version(folder / name, survey)


def _survey_version(folder: Path, survey: Survey) -> None:
    model, version = folder.parent.name, folder.name
    path = f"{model}/{version}"
    like_a_version = bool(_LIKE_A_VERSION.fullmatch(version))
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
        like_a_bundle = is_folder and (like_a_version or (folder / MANIFEST_FILE).exists())
    except OSError as error:
        if like_a_version:
            _refuse(survey, path, f"it cannot be read: {error.strerror}")
        else:
            survey.ignored.append(_shown(path))
        return
    if not like_a_bundle:
        survey.ignored.append(_shown(path))
    elif (problem := _naming_problem(model, version)) is not None:
        _refuse(survey, path, problem)
    else:
        survey.bundles.append(BundleLocation(model, int(version), folder))


def _naming_problem(model: str, version: str) -> str | None:
    if not _MODEL_NAME.fullmatch(model):
        return (
            "the name of a model has 1 to 64 lower-case letters, digits and hyphens, and begins"
            " with a letter or a digit"
        )
    if not _VERSION.fullmatch(version):
        return "the name of a version is a positive integer without leading zeros"
    if _is_too_large(version):
        return f"a version is at most {MAX_VERSION}"
    return None


def _is_too_large(version: str) -> bool:
    return len(version) > _MAX_VERSION_DIGITS or int(version) > MAX_VERSION


def _misplacement(models_dir: Path, names: list[str]) -> str | None:
    """Say what a folder seems to be whose parent or grandparent was meant."""
    if MANIFEST_FILE in names:
        return "this folder is itself a bundle: its grandparent is the models folder"
    versions = [name for name in names if _LIKE_A_VERSION.fullmatch(name)]
    if any(os.path.lexists(models_dir / name / MANIFEST_FILE) for name in versions):
        return "this folder holds the versions of one model: its parent is the models folder"
    return None


def _list(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def _refuse(survey: Survey, path: str, reason: str) -> None:
    shown = _shown(path)
    survey.refused.append(
        RefusedFolder(shown, shown.partition("/")[0], f"{MisplacedBundle.__name__}: {reason}")
    )


def _shown(path: str) -> str:
    """Escape what cannot be printed or encoded."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )
