"""Makes the versions that are served those that are desired, without losing a request."""

import asyncio
import gc
import logging
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from service.catalog.catalog import Catalog, Defaults, ModelVersion
from service.catalog.desired_state import DesiredState, DesiredVersion, Key
from service.catalog.loading import LoadedModel, LoadOptions, load_model
from service.catalog.memory import trim_heap
from service.catalog.verifier import Verifier
from service.errors import LatentServeError

_log = logging.getLogger(__name__)


class Reconciler:
    """Loads what is desired and not there, then removes what is there and not desired.

    - The catalog is replaced as a whole with each step; requests resolve in the present one.
    - A version is removed when a desired version of its model answers, or its model is not desired
      at all. So a version whose successor is refused stays.
    - A version whose files have changed answers as it was until the changed files are loaded.
    - A model that has been replaced or removed is drained, closed and freed: requests that use it
      finish with it.

    All methods but ``load_sync`` are called on the event loop.

    Attributes:
        catalog: What there is.
        options: How bundles are loaded.
    """

    def __init__(
        self,
        desired: DesiredState,
        options: LoadOptions,
        *,
        verifier: Verifier | None = None,
        forget: Callable[[str, int], None] | None = None,
    ) -> None:
        """Begin with every desired version in the state ``loading``; nothing is read yet.

        Args:
            desired: The versions to load.
            options: How to load them.
            verifier: Verifies bundles before they are opened; without one they are verified here.
            forget: Called with the name and version of each version that has been removed.
        """
        self.options = options
        self._verifier = verifier
        self._desired = desired
        self._forget = forget
        self._executor = ThreadPoolExecutor(options.threads, "latentserve-inference")
        self._changing = asyncio.Lock()
        self._freeing = asyncio.Lock()
        self._retired: list[LoadedModel] = []
        self._listeners: list[Callable[[Catalog], None]] = []
        self.catalog = Catalog(
            [], Defaults(None, {}, desired.required_models), desired.refused_folders
        )
        self._announce()

    def on_change(self, listener: Callable[[Catalog], None]) -> None:
        """Call a function with each new catalog, before the next request is resolved in it."""
        self._listeners.append(listener)

    async def reconcile(self, desired: DesiredState | None = None) -> None:
        """Make the catalog what is desired; return when what was removed has been freed.

        May be called while it runs: the catalog becomes what was desired last. A bundle that is
        refused is not tried again until its fingerprint changes.

        Args:
            desired: Replaces what was desired before, if given.
        """
        self._desired = desired or self._desired
        async with self._changing:
            self._announce()
            while waiting := self._waiting_to_load():
                self._put(await asyncio.to_thread(self._load_first, waiting))
                self._announce()
            self._end_verification()
            self._remove_surplus()
        async with self._freeing:
            await self._free_retired()

    def load_sync(self) -> None:
        """Load what is desired on the thread that calls, and start no other thread.

        What is loaded then is there in every process forked from this one.
        """
        while waiting := self._waiting_to_load():
            self._put(self._load_first(waiting))
        self._end_verification()

    def start_verifier(self) -> None:
        """Start what verifies bundles, which costs less as long as no thread has been started."""
        if self._verifier is not None:
            self._verifier.start()

    async def close(self) -> None:
        """Take no more work, end what runs and fail what waits.

        A server calls it when every request has been answered, if only with a problem.
        """
        if self._verifier is not None:
            self._verifier.stop()
        loaded = [version.loaded for version in self.catalog if version.loaded is not None]
        for model in (*loaded, *self._retired):
            await model.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _announce(self) -> None:
        """Put every desired version that is not there, or has changed, in the state loading."""
        versions = {version.key: version for version in self.catalog}
        changed = False
        for wanted in self._desired.versions:
            known = versions.get(wanted.key)
            if known is None or known.desired != wanted:
                versions[wanted.key] = _announced(wanted, known)
                changed = True
        if changed:
            self._replace_catalog(versions)

    def _waiting_to_load(self) -> list[ModelVersion]:
        """List by name, the highest version first: it is the one that most requests mean."""
        desired = self._desired.keys
        waiting = [item for item in self.catalog if item.state == "loading" and item.key in desired]
        return sorted(waiting, key=lambda item: (item.key[0], -item.key[1]))

    def _end_verification(self) -> None:
        if self._verifier is not None:
            self._verifier.pause()

    def _load_first(self, waiting: Sequence[ModelVersion]) -> ModelVersion:
        """Load the first version that is verified, or refuse it."""
        if self._verifier is None:
            return self._load(waiting[0], None)
        desired, verdict = self._verifier.first_verified([item.desired for item in waiting])
        version = next(item for item in waiting if item.desired is desired)
        if verdict.reason is not None:
            return _refused(version, verdict.reason, verdict.trace)
        return self._load(version, verdict.digest)

    def _load(self, version: ModelVersion, verified_digest: str | None) -> ModelVersion:
        location = version.location
        facts = {"model": location.name, "version": location.version}
        try:
            loaded = load_model(location, self.options, self._executor, verified_digest)
        except LatentServeError as error:
            return _refused(version, f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001  # a bundle that fails must not affect others
            return _refused(version, type(error).__name__, traceback.format_exc())
        seconds = round(loaded.load_seconds, 3)
        _log.info(
            "bundle ready", extra={**facts, "provider": loaded.provider, "load_seconds": seconds}
        )
        return replace(version, state="ready", loaded=loaded)

    def _put(self, version: ModelVersion) -> None:
        before = self.catalog.get(*version.key)
        replaced = None if before is None else before.loaded
        if replaced is not None and replaced is not version.loaded:
            self._retired.append(replaced)
        self._replace_catalog({item.key: item for item in self.catalog} | {version.key: version})

    def _remove_surplus(self) -> None:
        desired = self._desired.keys
        names = {name for name, _ in desired}
        answering = {
            item.location.name
            for item in self.catalog
            if item.key in desired and item.loaded is not None
        }
        kept: dict[Key, ModelVersion] = {}
        for item in self.catalog:
            name = item.location.name
            needed = item.loaded is not None and name in names and name not in answering
            if item.key in desired or needed:
                kept[item.key] = item
            elif item.loaded is not None:
                self._retired.append(item.loaded)
                _log.info("version removed", extra={"model": name, "version": item.key[1]})
        self._replace_catalog(kept)

    def _replace_catalog(self, versions: Mapping[Key, ModelVersion]) -> None:
        answering = {key for key, version in versions.items() if version.loaded is not None}
        self.catalog = Catalog(
            versions.values(),
            _defaults(self._desired, self.catalog, answering),
            self._desired.refused_folders,
        )
        for listener in self._listeners:
            listener(self.catalog)

    async def _free_retired(self) -> None:
        """Drain and close models that requests cannot find any more, and give back their memory."""
        if not self._retired:
            return
        while self._retired:
            model = self._retired[0]
            await model.drain()
            await model.close()
            self._retired.remove(model)
            if self._forget is not None and self.catalog.get(model.name, model.version) is None:
                self._forget(model.name, model.version)
            del model  # the last reference
        gc.collect()
        await asyncio.to_thread(trim_heap)


def _refused(version: ModelVersion, reason: str, trace: str | None = None) -> ModelVersion:
    name, number = version.key
    facts = {"model": name, "version": number, "reason": reason}
    _log.error("bundle refused", extra=facts | ({"traceback": trace} if trace else {}))
    return replace(version, state="refused", reason=reason)


def _announced(wanted: DesiredVersion, known: ModelVersion | None) -> ModelVersion:
    """Return what is known of a version that is desired as it has not been before."""
    if known is None:
        return ModelVersion(wanted)
    return ModelVersion(wanted, loaded=known.loaded)


def _defaults(desired: DesiredState, before: Catalog, answering: Iterable[Key]) -> Defaults:
    """Decide what requests mean that leave out a model or a version.

    What they mean changes to what is desired once that answers; until then it stays what it was, as
    long as that still answers.
    """
    answering = set(answering)
    names = {name for name, _ in answering}
    model = desired.default_model
    if model not in (None, *names) and before.default_model in names:
        model = before.default_model
    versions = dict(desired.pinned_versions)
    for name, version in desired.pinned_versions.items():
        if (name, version) not in answering and name in before.names:
            present = before.default_version(name)
            if present is not None and (name, present) in answering:
                versions[name] = present
    return Defaults(model, versions, desired.required_models)
