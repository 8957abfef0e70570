"""Which versions of which models a service should have: data, compared with what it has."""

import hashlib
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from service.bundle.discovery import RefusedFolder, Survey, survey_models
from service.bundle.manifest import MANIFEST_FILE
from service.bundle.storage import MAX_MANIFEST_BYTES, BundleLocation, read_file
from service.errors import BundleError, ConfigurationError

_log = logging.getLogger(__name__)
_MAX_IGNORED_SHOWN = 20

Key: TypeAlias = tuple[str, int]
"""Name of a model, and its version."""


@dataclass(frozen=True)
class DesiredVersion:
    """A version that should be served.

    Attributes:
        location: Where its bundle lies.
        fingerprint: Changes when the bundle's files change; the same version with another
            fingerprint is loaded again.
    """

    location: BundleLocation
    fingerprint: str = ""

    @property
    def key(self) -> Key:
        """Name and version."""
        return self.location.name, self.location.version


@dataclass(frozen=True)
class DesiredState:
    """The versions that should be served, and what requests that do not name one mean.

    Attributes:
        versions: Sorted by model and version.
        default_model: Model of requests that name none.
        pinned_versions: Version of requests that name none, by model.
        required_models: Models of which any version must answer for the service to be ready; the
            pinned one, where one is pinned.
        refused_folders: What looks like a bundle, or like a folder of them, and cannot be one.
    """

    versions: tuple[DesiredVersion, ...]
    default_model: str | None = None
    pinned_versions: Mapping[str, int] = field(default_factory=dict[str, int])
    required_models: frozenset[str] = frozenset()
    refused_folders: tuple[RefusedFolder, ...] = ()

    def __post_init__(self) -> None:
        """Check that what is referred to is among the versions.

        Raises:
            ConfigurationError: It is not.
        """
        found = self.keys
        names = {name for name, _ in found} | {folder.model for folder in self.refused_folders}
        if self.default_model is not None and self.default_model not in names:
            raise ConfigurationError(f"the default model {self.default_model} is not in the folder")
        for name, version in self.pinned_versions.items():
            if (name, version) not in found:
                raise ConfigurationError(f"the pinned version {version} of {name} is not there")
        for name in sorted(self.required_models - names):
            raise ConfigurationError(f"the required model {name} is not in the folder")

    @cached_property
    def keys(self) -> frozenset[Key]:
        """Name and version of each."""
        return frozenset(version.key for version in self.versions)


def desire_folder(
    models_dir: Path,
    *,
    default_model: str | None = None,
    pinned_versions: Mapping[str, int] | None = None,
    required_models: Collection[str] | None = None,
) -> DesiredState:
    """Desire every bundle of a folder.

    Args:
        models_dir: The folder that holds ``<name>/<version>/``.
        default_model: Model of requests that name none.
        pinned_versions: Version of requests that name none, by model.
        required_models: Models without which the service is not ready; with none given, every
            model that is in the folder.

    Raises:
        ConfigurationError: The folder cannot be listed, or the default, a pinned version or a
            required model is not in it.
    """
    survey = survey_models(models_dir)
    versions = tuple(
        DesiredVersion(location, fingerprint_of(location.folder)) for location in survey.bundles
    )
    there = {location.name for location in survey.bundles}
    there.update(folder.model for folder in survey.refused)
    desired = DesiredState(
        versions,
        default_model,
        dict(pinned_versions or {}),
        frozenset(required_models or there),
        tuple(survey.refused),
    )
    _log_survey(models_dir, survey)
    return desired


def _log_survey(models_dir: Path, survey: Survey) -> None:
    facts = {"folder": str(models_dir), "expected": f"<name>/<version>/{MANIFEST_FILE}"}
    for folder in survey.refused:
        _log.error("folder refused", extra={"path": folder.path, "reason": folder.reason})
    if survey.ignored:
        shown = survey.ignored[:_MAX_IGNORED_SHOWN]
        counted = {"count": len(survey.ignored), "paths": shown}
        _log.warning("entries of the models folder ignored", extra=facts | counted)
    if survey.misplaced:
        _log.error("wrong models folder", extra=facts | {"reason": survey.misplaced})
    elif not survey.bundles:
        _log.error("no bundle found", extra=facts | {"refused": len(survey.refused)})


def fingerprint_of(folder: Path) -> str:
    """Return a text that changes when the files of a bundle do, without reading all of them.

    It covers the manifest, which holds the digest of every file, and the names, sizes and times of
    the files. A folder that cannot be read has one too: loading it says what is wrong.
    """
    seen = hashlib.sha256()
    try:
        for file in sorted(folder.iterdir()):
            status = file.stat()
            seen.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        seen.update(read_file(folder, MANIFEST_FILE, MAX_MANIFEST_BYTES))
    except (OSError, BundleError) as error:
        seen.update(type(error).__name__.encode())
    return seen.hexdigest()
