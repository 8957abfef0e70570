"""Which versions of which models are there, which answer, and which one a request means."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, TypeAlias

from service.bundle.discovery import RefusedFolder
from service.bundle.storage import BundleLocation
from service.catalog.desired_state import DesiredVersion, Key
from service.catalog.loading import LoadedModel
from service.errors import (
    InvalidInput,
    ModelNotFound,
    ModelRequired,
    ModelUnavailable,
    VersionNotFound,
)

_MAX_NAMED = 20  # models or versions that an error names
_MAX_COMPARED = 500  # names that a misspelled one is compared with
_MAX_NAME_CHARACTERS = 64

State: TypeAlias = Literal["loading", "ready", "refused"]


@dataclass(frozen=True, eq=False)
class ModelVersion:
    """What is known of one configured version.

    A version whose files have changed answers as it was before while the state of the changed files
    is ``loading`` or ``refused``.

    Attributes:
        desired: What was desired last.
        state: ``loading``, ``ready`` or ``refused``.
        reason: Why it was refused.
        loaded: What answers, if anything does.
    """

    desired: DesiredVersion
    state: State = "loading"
    reason: str | None = None
    loaded: LoadedModel | None = None

    @property
    def location(self) -> BundleLocation:
        """Where its bundle lies."""
        return self.desired.location

    @property
    def key(self) -> Key:
        """Name and version."""
        return self.desired.key


@dataclass(frozen=True)
class Defaults:
    """What requests mean that leave out a model or a version, and what readiness asks for.

    Attributes:
        model: Model of requests that name none.
        versions: Version of requests that name none, by model.
        required_models: Models that must answer requests without a version.
    """

    model: str | None
    versions: Mapping[str, int]
    required_models: frozenset[str] = frozenset()


class Catalog:
    """The configured versions, by name and version.

    It never changes: a change makes another catalog, which replaces it as a whole. Whoever has one
    sees the same versions in the same states for as long as it is kept.
    """

    def __init__(
        self,
        versions: Iterable[ModelVersion],
        defaults: Defaults,
        refused_folders: Sequence[RefusedFolder] = (),
    ) -> None:
        """Hold versions.

        Args:
            versions: In any order.
            defaults: What requests mean that leave out a model or a version.
            refused_folders: What looks like a bundle, or like a folder of them, and cannot be one.
        """
        self.defaults = defaults
        self.refused_folders = tuple(refused_folders)
        self._versions: dict[str, dict[int, ModelVersion]] = {}
        for version in sorted(versions, key=lambda version: version.key):
            by_version = self._versions.setdefault(version.location.name, {})
            by_version[version.location.version] = version
        self._resolved: dict[tuple[str | None, int | None], LoadedModel] = {}

    def __iter__(self) -> Iterator[ModelVersion]:
        """Iterate over all versions, by name and ascending version."""
        for by_version in self._versions.values():
            yield from by_version.values()

    @property
    def names(self) -> list[str]:
        """Names of the configured models."""
        return list(self._versions)

    @property
    def default_model(self) -> str | None:
        """What a request without a model means, if anything."""
        if self.defaults.model is not None:
            return self.defaults.model
        return self.names[0] if len(self._versions) == 1 else None

    @property
    def ready(self) -> bool:
        """Whether every required model answers, and there is at least one version."""
        return bool(self._versions) and all(map(self._answers, self.defaults.required_models))

    @property
    def loading(self) -> bool:
        """Whether a version is being loaded or still has to be."""
        return any(version.state == "loading" for version in self)

    def blocks_readiness(self, version: ModelVersion) -> bool:
        """Say whether the service is not ready because this version does not answer.

        Of a required model one version is enough: the pinned one, or any.
        """
        name, number = version.key
        return (
            version.loaded is None
            and number == self.defaults.versions.get(name, number)
            and self.waits_for(name)
        )

    def waits_for(self, name: str) -> bool:
        """Say whether the service is not ready because this model does not answer."""
        return name in self.defaults.required_models and not self._answers(name)

    def get(self, name: str, version: int) -> ModelVersion | None:
        """Return what is known of a version, if it is configured."""
        return self._versions.get(name, {}).get(version)

    def versions_of(self, name: str) -> list[ModelVersion]:
        """List the versions of a model, ascending.

        Raises:
            ModelNotFound: No model of that name is configured.
        """
        if name not in self._versions:
            close = get_close_matches(name[:_MAX_NAME_CHARACTERS], self.names[:_MAX_COMPARED], 1)
            meant = f"{close[0]} was probably meant; " if close else ""
            raise ModelNotFound(f"no model of that name; {meant}there are {self._list_names()}")
        return list(self._versions[name].values())

    def default_version(self, name: str) -> int | None:
        """Return the version a request without one means: the pinned, else the highest ready.

        Raises:
            ModelNotFound: No model of that name is configured, and none of its versions is pinned.
        """
        if name in self.defaults.versions:
            return self.defaults.versions[name]
        ready = [item.location.version for item in self.versions_of(name) if item.loaded]
        return max(ready, default=None)

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Keep every loaded version open, while it is not known yet which one a request means."""
        with ExitStack() as stack:
            for version in self:
                if version.loaded is not None:
                    stack.enter_context(version.loaded.in_use)
            yield

    def resolve(self, name: str | None, version: int | None) -> LoadedModel:
        """Find the model that a request means.

        Args:
            name: The request's model, if it names one.
            version: The request's version, if it names one.

        Raises:
            ModelRequired: It names none and there is no default.
            ModelNotFound: There is no such model.
            VersionNotFound: There is no such version of it.
            ModelUnavailable: It is still loading, or was refused.
        """
        found = self._resolved.get((name, version))
        if found is None:
            found = self._resolved[name, version] = self._find(name, version)
        return found

    def _find(self, name: str | None, version: int | None) -> LoadedModel:
        name = name if name is not None else self._implied_name()
        versions = {item.location.version: item for item in self.versions_of(name)}
        chosen = version if version is not None else self.default_version(name)
        if chosen is None:
            raise ModelUnavailable(f"no version of {name} is ready: {_describe(versions)}")
        if chosen not in versions:
            raise VersionNotFound(
                f"no such version of model {name}; it has {_list_versions(versions)}"
            )
        loaded = versions[chosen].loaded
        if loaded is None:
            raise ModelUnavailable(
                f"version {chosen} of {name} is not ready: {_describe({chosen: versions[chosen]})}"
            )
        return loaded

    def _implied_name(self) -> str:
        name = self.default_model
        if name is not None:
            return name
        detail = f"name a model; there are {self._list_names()}"
        if not self._versions:
            raise ModelNotFound("no model is configured")
        raise ModelRequired(detail, InvalidInput.at("/model", detail).field_errors)

    def _answers(self, name: str) -> bool:
        """Whether a model answers requests without a version."""
        if name not in self._versions:
            return False
        version = self.default_version(name)
        known = None if version is None else self.get(name, version)
        return known is not None and known.loaded is not None

    def _list_names(self) -> str:
        named = ", ".join(self.names[:_MAX_NAMED]) or "none"
        more = len(self._versions) - _MAX_NAMED
        return f"{named} and {more} more, which GET /models lists" if more > 0 else named


def _list_versions(versions: Mapping[int, ModelVersion]) -> str:
    """List the last versions, which are the likely ones."""
    earlier = len(versions) - _MAX_NAMED
    named = ", ".join(map(str, list(versions)[-_MAX_NAMED:]))
    return f"{named} and {earlier} earlier" if earlier > 0 else named


def _describe(versions: Mapping[int, ModelVersion]) -> str:
    return "; ".join(
        f"{number} is {item.state}" + (f" ({item.reason})" if item.reason else "")
        for number, item in versions.items()
    )
