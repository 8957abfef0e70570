"""Which versions of which models are there, which are ready, and which one a request means."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from service.bundle.storage import BundleLocation
from service.catalog.loading import LoadedModel, LoadOptions, load_model
from service.errors import (
    BundleError,
    ConfigurationError,
    InvalidInput,
    ModelNotFound,
    ModelRequired,
    ModelUnavailable,
    VersionNotFound,
)

State: TypeAlias = Literal["loading", "ready", "refused"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelVersion:
    """What is known of one configured version.

    Attributes:
        location: Where its bundle lies.
        state: ``loading``, ``ready`` or ``refused``.
        reason: Why it was refused.
        loaded: The model, when ready.
    """

    location: BundleLocation
    state: State = "loading"
    reason: str | None = None
    loaded: LoadedModel | None = None


class Registry:
    """The configured versions, by name and version.

    Entries are replaced whole, so a reader sees a version in one state or the next, never
    between. All methods but ``load_all_sync`` are called on the event loop and do not wait.

    Attributes:
        options: How bundles become models.
    """

    def __init__(
        self,
        locations: list[BundleLocation],
        options: LoadOptions,
        *,
        default_model: str | None = None,
        pinned_versions: Mapping[str, int] | None = None,
    ) -> None:
        """Take what is configured; nothing is read before ``load_all``.

        Args:
            locations: The bundles to load.
            options: How to load them.
            default_model: What a request without a model means.
            pinned_versions: What a request without a version means, by model.

        Raises:
            ConfigurationError: The default or a pinned version is not among the bundles.
        """
        self._versions: dict[str, dict[int, ModelVersion]] = {}
        for location in sorted(locations):
            by_version = self._versions.setdefault(location.name, {})
            by_version[location.version] = ModelVersion(location)
        self._resolved: dict[tuple[str | None, int | None], LoadedModel] = {}
        self._loading_finished = asyncio.Event()
        self._note_loading_finished()
        self.options = options
        self._default_model = default_model
        self._pinned_versions = dict(pinned_versions or {})
        self._executor = ThreadPoolExecutor(options.threads, "latentserve-inference")
        if default_model is not None and default_model not in self._versions:
            raise ConfigurationError(f"the default model {default_model} is not in the folder")
        for name, version in self._pinned_versions.items():
            if version not in self._versions.get(name, {}):
                raise ConfigurationError(f"the pinned version {version} of {name} is not there")

    def __iter__(self) -> Iterator[ModelVersion]:
        """Iterate over all versions, by name and ascending version."""
        by_name = list(self._versions.values())
        return iter([version for by_version in by_name for version in by_version.values()])

    @property
    def names(self) -> list[str]:
        """Names of the configured models."""
        return list(self._versions)

    @property
    def default_model(self) -> str | None:
        """What a request without a model means, if anything."""
        if self._default_model is not None:
            return self._default_model
        return self.names[0] if len(self._versions) == 1 else None

    @property
    def ready(self) -> bool:
        """Whether every configured version is loaded, and there is at least one."""
        return bool(self._versions) and all(version.state == "ready" for version in self)

    @property
    def loading_finished(self) -> bool:
        """Whether every configured version has been loaded or refused."""
        return self._loading_finished.is_set()

    async def wait_until_loaded(self) -> None:
        """Return once every configured version has been loaded or refused."""
        await self._loading_finished.wait()

    async def load_all(self) -> None:
        """Read, verify and warm every version that is not yet, off the event loop.

        A bundle that fails is refused with its reason, in the log and in its entry.
        """
        for version in self:
            if version.state == "loading":
                self._put(await asyncio.to_thread(self._load, version))

    def load_all_sync(self) -> None:
        """Do what ``load_all`` does on the thread that calls, and start no other.

        What is loaded then is there in every process forked from this one.
        """
        for version in self:
            if version.state == "loading":
                self._put(self._load(version))

    def _load(self, version: ModelVersion) -> ModelVersion:
        location = version.location
        try:
            loaded = load_model(location, self.options, self._executor)
        except Exception as error:  # noqa: BLE001  # one bundle, however broken, never harms the others
            expected = isinstance(error, BundleError)
            reason = f"{type(error).__name__}: {error}" if expected else type(error).__name__
            _log.error(
                "bundle refused",
                exc_info=not expected,
                extra={"model": location.name, "version": location.version, "reason": reason},
            )
            return replace(version, state="refused", reason=reason)
        _log.info(
            "bundle ready",
            extra={
                "model": location.name,
                "version": location.version,
                "provider": loaded.provider,
                "load_seconds": round(loaded.load_seconds, 3),
            },
        )
        return replace(version, state="ready", loaded=loaded)

    def _put(self, version: ModelVersion) -> None:
        by_version = self._versions[version.location.name]
        self._versions[version.location.name] = by_version | {version.location.version: version}
        self._resolved = {}
        self._note_loading_finished()

    def _note_loading_finished(self) -> None:
        if all(version.state != "loading" for version in self):
            self._loading_finished.set()

    def versions_of(self, name: str) -> list[ModelVersion]:
        """List the versions of a model, ascending.

        Raises:
            ModelNotFound: No model of that name is configured.
        """
        if name not in self._versions:
            raise ModelNotFound(f"no model of that name; there are {self._list_names()}")
        return list(self._versions[name].values())

    def default_version(self, name: str) -> int | None:
        """Return the version a request without one means: the pinned, else the highest ready."""
        if name in self._pinned_versions:
            return self._pinned_versions[name]
        ready = [item.location.version for item in self.versions_of(name) if item.loaded]
        return max(ready, default=None)

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
                f"no such version of model {name}; it has {', '.join(map(str, versions))}"
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

    def _list_names(self) -> str:
        return ", ".join(self._versions) or "none"

    async def close(self) -> None:
        """Take no more work, end what runs and fail what waits.

        A server calls it when every request has been answered, if only with the news that it
        stops: what runs then runs for nobody.
        """
        for version in self:
            if version.loaded is not None:
                for queue in version.loaded.queues.values():
                    await queue.close()
        self._executor.shutdown(wait=False, cancel_futures=True)


def _describe(versions: Mapping[int, ModelVersion]) -> str:
    return "; ".join(
        f"{number} is {item.state}" + (f" ({item.reason})" if item.reason else "")
        for number, item in versions.items()
    )
