"""Which versions of which models a service should have: data, compared with what it has."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from service.bundle.manifest import MANIFEST_FILE
from service.bundle.storage import BundleLocation, find_bundles
from service.errors import ConfigurationError

Key: TypeAlias = tuple[str, int]
"""Name of a model, and its version."""


@dataclass(frozen=True)
class DesiredVersion:
    """A version that should be served.

    Attributes:
        location: Where its bundle lies.
        fingerprint: Changes when the bundle's files change; the same version with another
            fingerprint is loaded again.
        required: Whether the service is not ready without it.
    """

    location: BundleLocation
    fingerprint: str = ""
    required: bool = True

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
    """

    versions: tuple[DesiredVersion, ...]
    default_model: str | None = None
    pinned_versions: Mapping[str, int] = field(default_factory=dict[str, int])
    required_models: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Check that what is referred to is among the versions.

        Raises:
            ConfigurationError: It is not.
        """
        found = self.keys
        names = {name for name, _ in found}
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
            version that is in the folder is required.

    Raises:
        ConfigurationError: The default, a pinned version or a required model is not in the folder.
    """
    versions = tuple(
        DesiredVersion(location, fingerprint_of(location.folder), required=not required_models)
        for location in find_bundles(models_dir)
    )
    return DesiredState(
        versions, default_model, dict(pinned_versions or {}), frozenset(required_models or ())
    )


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
        if (folder / MANIFEST_FILE).is_file():  # no pipe, say, which would wait for a writer
            seen.update((folder / MANIFEST_FILE).read_bytes())
    except OSError as error:
        seen.update(type(error).__name__.encode())
    return seen.hexdigest()
