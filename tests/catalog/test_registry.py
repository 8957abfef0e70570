"""Which bundles are there, which serve, and which one a request means."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.storage import BundleLocation, find_bundles
from service.catalog import registry as registry_module
from service.catalog.registry import LoadOptions, Registry
from service.errors import (
    ConfigurationError,
    Draining,
    ModelNotFound,
    ModelRequired,
    ModelUnavailable,
    VersionNotFound,
)
from service.inference.session import SessionOptions
from service.request_context import RequestContext
from tests.bundles import PLANE, SCORE, STAMP, WAVE, TinyModel, publish_tiny

OPTIONS = LoadOptions(SessionOptions("cpu", threads=1), max_batch_rows=8)


@asynccontextmanager
async def opened(
    models_dir: Path, *, load: bool = True, options: LoadOptions = OPTIONS, **choices: Any
) -> AsyncIterator[Registry]:
    registry = Registry(find_bundles(models_dir), options, **choices)
    try:
        if load:
            await registry.load_all()
        yield registry
    finally:
        await registry.close()


def publish(folder: Path, *models: TinyModel) -> None:
    for model in models:
        publish_tiny(folder, model)


def spoil(folder: Path, model: TinyModel, version: int = 1, file: str = "decoder.onnx") -> None:
    path = folder / model.name / str(version) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def states(registry: Registry) -> list[tuple[str, int, str]]:
    return [
        (version.location.name, version.location.version, version.state) for version in registry
    ]


async def test_versions_are_loading_until_they_are_loaded(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, STAMP)
    async with opened(tmp_path, load=False) as registry:
        assert states(registry) == [("plane", 1, "loading"), ("stamp", 1, "loading")]
        assert not registry.ready
        assert registry.default_version("plane") is None
        with pytest.raises(ModelUnavailable, match=r"^no version of plane is ready: 1 is loading$"):
            registry.resolve("plane", None)
        with pytest.raises(
            ModelUnavailable, match=r"^version 1 of plane is not ready: 1 is loading$"
        ):
            registry.resolve("plane", 1)

        await registry.load_all()
        assert states(registry) == [("plane", 1, "ready"), ("stamp", 1, "ready")]
        assert registry.ready
        assert registry.resolve("plane", None).version == 1


async def test_a_loaded_version_tells_what_was_proven_and_answers(tmp_path: Path) -> None:
    publish(tmp_path, WAVE)
    async with opened(tmp_path) as registry:
        model = registry.resolve(None, None)
        rows = WAVE.rows(5)
        encoding = await model.autoencoder.encode(rows, context=RequestContext())

        assert (model.name, model.version, model.provider) == ("wave", 1, "cpu")
        assert model.manifest.name == "wave"
        assert model.golden_deviation < 1e-5
        assert model.load_seconds > 0
        assert set(model.queues) == {"encoder", "decoder", f"scorer-{SCORE}"}
        assert np.allclose(encoding.codes, WAVE.encode(rows), atol=1e-5)


async def test_versions_load_by_name_and_ascending_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, PLANE, PLANE)
    (tmp_path / "plane" / "1").rename(tmp_path / "plane" / "10")
    publish(tmp_path, STAMP)
    caplog.set_level(logging.INFO)
    async with opened(tmp_path) as registry:
        records = [record for record in caplog.records if record.message == "bundle ready"]
        loaded = [(vars(record)["model"], vars(record)["version"]) for record in records]

        assert loaded == [("plane", 2), ("plane", 10), ("stamp", 1)]
        assert [(name, version) for name, version, _ in states(registry)] == loaded
        assert registry.resolve("plane", None).version == 10


async def test_one_version_answers_while_the_next_one_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, PLANE, PLANE)
    load_model = registry_module.load_model
    seen: list[list[tuple[str, int, str]]] = []
    async with opened(tmp_path, load=False) as registry:

        def load_and_look(location: BundleLocation, *arguments: Any) -> Any:
            seen.append(states(registry))
            return load_model(location, *arguments)

        monkeypatch.setattr(registry_module, "load_model", load_and_look)
        await registry.load_all()

    assert seen == [
        [("plane", 1, "loading"), ("plane", 2, "loading")],
        [("plane", 1, "ready"), ("plane", 2, "loading")],
    ]


@pytest.mark.parametrize(
    "file", ["manifest.json", "encoder.onnx", "calibration.npz", "priors.npz", "golden.npz"]
)
async def test_a_spoiled_bundle_is_refused_by_name_and_the_others_serve(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, PLANE, STAMP, WAVE)
    spoil(tmp_path, STAMP, file=file)
    async with opened(tmp_path) as registry:
        refused = next(version for version in registry if version.state == "refused")
        assert refused.location.name == "stamp"
        assert refused.reason is not None
        assert file in refused.reason
        assert refused.loaded is None
        assert not registry.ready
        with pytest.raises(ModelUnavailable, match=f"1 is refused .*{file}"):
            registry.resolve("stamp", None)
        for model in (PLANE, WAVE):
            answer = await registry.resolve(model.name, None).autoencoder.reconstruct(
                model.rows(2), context=RequestContext()
            )
            assert np.allclose(answer, model.reconstruct(model.rows(2)), atol=1e-4)
    record = next(record for record in caplog.records if record.message == "bundle refused")
    assert (vars(record)["model"], vars(record)["reason"]) == ("stamp", refused.reason)


async def test_a_bundle_that_breaks_in_an_unforeseen_way_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, PLANE, STAMP)
    load_model = registry_module.load_model

    def fail_for_plane(location: BundleLocation, *arguments: Any) -> Any:
        if location.name == "plane":
            raise MemoryError("with a secret")
        return load_model(location, *arguments)

    monkeypatch.setattr(registry_module, "load_model", fail_for_plane)
    async with opened(tmp_path) as registry:
        assert [version.reason for version in registry] == ["MemoryError", None]
        assert registry.resolve("stamp", None).version == 1


async def test_a_request_without_a_version_means_the_highest_that_is_ready(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE, PLANE)
    spoil(tmp_path, PLANE, version=3)
    async with opened(tmp_path) as registry:
        assert registry.default_version("plane") == 2
        assert registry.resolve("plane", None).version == 2
        assert registry.resolve("plane", 1).version == 1
        with pytest.raises(ModelUnavailable, match="version 3 of plane is not ready: 3 is refused"):
            registry.resolve("plane", 3)


async def test_a_pinned_version_is_meant_even_when_a_higher_one_is_ready(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE, STAMP)
    async with opened(tmp_path, pinned_versions={"plane": 1}) as registry:
        assert registry.default_version("plane") == 1
        assert registry.resolve("plane", None).version == 1
        assert registry.resolve("plane", 2).version == 2
        assert registry.resolve("stamp", None).version == 1


async def test_a_pinned_version_that_was_refused_is_not_replaced_in_silence(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE)
    spoil(tmp_path, PLANE, version=1)
    async with opened(tmp_path, pinned_versions={"plane": 1}) as registry:
        with pytest.raises(ModelUnavailable, match="version 1 of plane is not ready: 1 is refused"):
            registry.resolve("plane", None)


async def test_the_only_model_need_not_be_named(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE)
    async with opened(tmp_path) as registry:
        assert registry.default_model == "plane"
        assert registry.resolve(None, None).version == 2
        assert registry.resolve(None, 1).version == 1


async def test_one_of_several_models_has_to_be_named_unless_there_is_a_default(
    tmp_path: Path,
) -> None:
    publish(tmp_path, PLANE, STAMP)
    async with opened(tmp_path) as registry:
        assert registry.default_model is None
        with pytest.raises(ModelRequired, match="name a model; there are plane, stamp") as caught:
            registry.resolve(None, None)
        assert [error.pointer for error in caught.value.field_errors] == ["/model"]
    async with opened(tmp_path, default_model="stamp") as registry:
        assert registry.resolve(None, None).name == "stamp"
        assert registry.resolve("plane", None).name == "plane"


async def test_unknown_models_and_versions_are_told_from_each_other(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE, STAMP)
    async with opened(tmp_path) as registry:
        for name in ("nobody", ""):
            with pytest.raises(ModelNotFound, match="there are plane, stamp"):
                registry.resolve(name, None)
        with pytest.raises(ModelNotFound):
            registry.versions_of("nobody")
        for version in (0, 3, -1):
            with pytest.raises(VersionNotFound, match="of model plane; it has 1, 2"):
                registry.resolve("plane", version)


async def test_a_folder_without_bundles_is_never_ready(tmp_path: Path) -> None:
    async with opened(tmp_path) as registry:
        assert not registry.ready
        assert list(registry) == []
        with pytest.raises(ModelNotFound, match="no model is configured"):
            registry.resolve(None, None)
        with pytest.raises(ModelNotFound, match="there are none"):
            registry.resolve("plane", None)


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"default_model": "nobody"}, "the default model nobody is not in the folder"),
        ({"pinned_versions": {"plane": 2}}, "the pinned version 2 of plane is not there"),
        ({"pinned_versions": {"nobody": 1}}, "the pinned version 1 of nobody is not there"),
    ],
)
def test_choices_that_are_not_there_are_refused_at_start(
    choices: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    publish(tmp_path, PLANE)

    with pytest.raises(ConfigurationError, match=f"^{reason}$"):
        Registry(find_bundles(tmp_path), OPTIONS, **choices)


@pytest.mark.timeout(20)
async def test_closing_fails_what_waits_and_takes_no_more(tmp_path: Path) -> None:
    publish(tmp_path, PLANE)
    registry = Registry(find_bundles(tmp_path), OPTIONS)
    await registry.load_all()
    autoencoder = registry.resolve(None, None).autoencoder
    rows = PLANE.rows(700)
    waiting = [
        asyncio.ensure_future(autoencoder.encode(rows, context=RequestContext())) for _ in range(3)
    ]
    await asyncio.sleep(0)
    await registry.close()

    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Draining] * 3
    with pytest.raises(Draining):
        await autoencoder.encode(rows, context=RequestContext())


async def test_loading_does_not_hold_up_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, PLANE)
    load_model: Callable[..., Any] = registry_module.load_model
    loop = asyncio.get_running_loop()

    def load_and_come_back(*arguments: Any) -> Any:
        # Only a loop that is free to run can answer the thread that loads.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(timeout=10)
        return load_model(*arguments)

    monkeypatch.setattr(registry_module, "load_model", load_and_come_back)
    async with opened(tmp_path) as registry:
        assert registry.ready
