"""Versions are loaded, replaced and removed, and requests are answered meanwhile."""

import asyncio
import gc
import logging
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.storage import BundleLocation
from service.catalog import reconciler as reconciler_module
from service.catalog.catalog import Catalog
from service.catalog.desired_state import DesiredState, DesiredVersion, desire_folder
from service.catalog.loading import LoadedModel
from service.catalog.reconciler import Reconciler
from service.errors import Draining, ModelNotFound, ModelUnavailable, VersionNotFound
from service.inference.chained_graph import CHAIN
from service.operations.table import ENCODE
from tests.bundles import PLANE, SCORE, STAMP, WAVE, publish_tiny, tiny_model
from tests.catalog.reconcilers import OPTIONS, damage, opened, publish, states
from tests.operations.opened import start

OTHER_PLANE = replace(PLANE, encoding=2 * PLANE.encoding)
"""The plane with other weights."""


async def codes_of(model: LoadedModel, rows: np.ndarray) -> np.ndarray:
    """Encode rows as a request does."""
    with model.in_use:
        return (await start(ENCODE, model.autoencoder, rows)).codes


async def test_versions_are_loading_until_they_are_loaded(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, STAMP)
    async with opened(tmp_path, load=False) as reconciler:
        before = reconciler.catalog
        assert states(before) == [("plane", 1, "loading"), ("stamp", 1, "loading")]
        assert before.loading
        assert not before.ready
        assert before.default_version("plane") is None
        with pytest.raises(ModelUnavailable, match=r"^no version of plane is ready: 1 is loading$"):
            before.resolve("plane", None)
        with pytest.raises(
            ModelUnavailable, match=r"^version 1 of plane is not ready: 1 is loading$"
        ):
            before.resolve("plane", 1)

        await reconciler.reconcile()
        assert states(reconciler.catalog) == [("plane", 1, "ready"), ("stamp", 1, "ready")]
        assert reconciler.catalog.ready
        assert not reconciler.catalog.loading
        assert reconciler.catalog.resolve("plane", None).version == 1
        assert states(before) == [("plane", 1, "loading"), ("stamp", 1, "loading")]


async def test_a_loaded_version_tells_what_was_proven_and_answers(tmp_path: Path) -> None:
    publish(tmp_path, WAVE)
    async with opened(tmp_path) as reconciler:
        model = reconciler.catalog.resolve(None, None)
        rows = WAVE.rows(5)

        assert (model.name, model.version, model.provider) == ("wave", 1, "cpu")
        assert model.manifest.name == "wave"
        assert model.golden_deviation < 1e-5
        assert model.load_seconds > 0
        assert set(model.queues) == {"encoder", "decoder", CHAIN, f"scorer-{SCORE}"}
        assert np.allclose(await codes_of(model, rows), WAVE.encode(rows), atol=1e-5)


async def test_models_load_by_name_and_their_highest_version_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, PLANE, PLANE)
    (tmp_path / "plane" / "1").rename(tmp_path / "plane" / "10")
    publish(tmp_path, STAMP)
    caplog.set_level(logging.INFO)
    async with opened(tmp_path) as reconciler:
        records = [record for record in caplog.records if record.message == "bundle ready"]
        loaded = [(vars(record)["model"], vars(record)["version"]) for record in records]

        assert loaded == [("plane", 10), ("plane", 2), ("stamp", 1)]
        assert reconciler.catalog.resolve("plane", None).version == 10


async def test_one_version_answers_while_the_next_one_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, PLANE, PLANE)
    load_model = reconciler_module.load_model
    seen: list[list[tuple[str, int, str]]] = []
    async with opened(tmp_path, load=False) as reconciler:

        def load_and_look(location: BundleLocation, *arguments: Any) -> Any:
            seen.append(states(reconciler.catalog))
            return load_model(location, *arguments)

        monkeypatch.setattr(reconciler_module, "load_model", load_and_look)
        await reconciler.reconcile()

    assert seen == [
        [("plane", 1, "loading"), ("plane", 2, "loading")],
        [("plane", 1, "loading"), ("plane", 2, "ready")],
    ]


@pytest.mark.parametrize(
    "file", ["manifest.json", "encoder.onnx", "calibration.npz", "priors.npz", "golden.npz"]
)
async def test_a_damaged_bundle_is_refused_by_name_and_the_others_serve(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, PLANE, STAMP, WAVE)
    damage(tmp_path, STAMP, file=file)
    async with opened(tmp_path) as reconciler:
        catalog = reconciler.catalog
        refused = next(version for version in catalog if version.state == "refused")
        assert refused.key == ("stamp", 1)
        assert refused.reason is not None
        assert file in refused.reason
        assert refused.loaded is None
        assert not catalog.ready
        with pytest.raises(ModelUnavailable, match=f"1 is refused .*{file}"):
            catalog.resolve("stamp", None)
        for model in (PLANE, WAVE):
            found = await codes_of(catalog.resolve(model.name, None), model.rows(2))
            assert np.allclose(found, model.encode(model.rows(2)), atol=1e-5)
    record = next(record for record in caplog.records if record.message == "bundle refused")
    assert (vars(record)["model"], vars(record)["reason"]) == ("stamp", refused.reason)


async def test_a_bundle_that_fails_in_an_unforeseen_way_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, PLANE, STAMP)
    load_model = reconciler_module.load_model

    def fail_for_plane(location: BundleLocation, *arguments: Any) -> Any:
        if location.name == "plane":
            raise MemoryError("with a secret")
        return load_model(location, *arguments)

    monkeypatch.setattr(reconciler_module, "load_model", fail_for_plane)
    async with opened(tmp_path) as reconciler:
        assert [version.reason for version in reconciler.catalog] == ["MemoryError", None]
        assert reconciler.catalog.resolve("stamp", None).version == 1


async def test_loading_does_not_hold_up_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, PLANE)
    load_model: Callable[..., Any] = reconciler_module.load_model
    loop = asyncio.get_running_loop()

    def load_and_come_back(*arguments: Any) -> Any:
        # Only a loop that is free to run can answer the thread that loads.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(timeout=10)
        return load_model(*arguments)

    monkeypatch.setattr(reconciler_module, "load_model", load_and_come_back)
    async with opened(tmp_path) as reconciler:
        assert reconciler.catalog.ready


async def test_what_is_loaded_before_the_loop_runs_is_not_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, PLANE, STAMP)
    damage(tmp_path, STAMP)
    async with opened(tmp_path, load=False) as reconciler:
        reconciler.load_sync()
        assert states(reconciler.catalog) == [("plane", 1, "ready"), ("stamp", 1, "refused")]
        model = reconciler.catalog.resolve("plane", 1)

        monkeypatch.setattr(reconciler_module, "load_model", None)
        await reconciler.reconcile()
        assert reconciler.catalog.resolve("plane", 1) is model


async def test_a_version_that_is_no_longer_desired_is_removed_when_the_new_one_answers(
    tmp_path: Path,
) -> None:
    publish(tmp_path, PLANE)
    async with opened(tmp_path) as reconciler:
        old = reconciler.catalog.resolve("plane", None)
        seen: list[list[tuple[str, int, str]]] = []
        reconciler.on_change(lambda catalog: seen.append(states(catalog)))
        publish(tmp_path, OTHER_PLANE)
        shutil.rmtree(tmp_path / "plane" / "1")
        await reconciler.reconcile(desire_folder(tmp_path))

        assert seen == [
            [("plane", 1, "ready"), ("plane", 2, "loading")],
            [("plane", 1, "ready"), ("plane", 2, "ready")],
            [("plane", 2, "ready")],
        ]
        rows = PLANE.rows(3)
        found = await codes_of(reconciler.catalog.resolve("plane", None), rows)
        assert np.allclose(found, OTHER_PLANE.encode(rows), atol=1e-5)
        with pytest.raises(VersionNotFound, match="of model plane; it has 2"):
            reconciler.catalog.resolve("plane", 1)
        with pytest.raises(Draining):
            await codes_of(old, rows)


async def test_a_model_that_is_no_longer_desired_is_removed(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, STAMP)
    async with opened(tmp_path) as reconciler:
        shutil.rmtree(tmp_path / "stamp")
        await reconciler.reconcile(desire_folder(tmp_path))

        assert states(reconciler.catalog) == [("plane", 1, "ready")]
        with pytest.raises(ModelNotFound):
            reconciler.catalog.resolve("stamp", None)


async def test_the_old_version_stays_where_the_new_one_is_refused_until_that_is_mended(
    tmp_path: Path,
) -> None:
    publish(tmp_path, PLANE)
    async with opened(tmp_path, pinned_versions={"plane": 1}) as reconciler:
        old = reconciler.catalog.resolve("plane", None)
        publish(tmp_path, OTHER_PLANE)
        shutil.rmtree(tmp_path / "plane" / "1")
        damage(tmp_path, PLANE, version=2)
        await reconciler.reconcile(desire_folder(tmp_path, pinned_versions={"plane": 2}))

        assert states(reconciler.catalog) == [("plane", 1, "ready"), ("plane", 2, "refused")]
        assert reconciler.catalog.default_version("plane") == 1
        assert reconciler.catalog.resolve(None, None) is old
        rows = PLANE.rows(2)
        assert np.allclose(await codes_of(old, rows), PLANE.encode(rows), atol=1e-5)

        damage(tmp_path, PLANE, version=2)  # the same bit again
        await reconciler.reconcile(desire_folder(tmp_path, pinned_versions={"plane": 2}))
        assert states(reconciler.catalog) == [("plane", 2, "ready")]
        assert reconciler.catalog.default_version("plane") == 2


async def test_defaults_change_when_what_they_name_answers(tmp_path: Path) -> None:
    publish(tmp_path, PLANE)
    async with opened(tmp_path, default_model="plane") as reconciler:
        meant = list[tuple[str, int] | None]()

        def note(catalog: Catalog) -> None:
            model = catalog.resolve(None, None)
            meant.append((model.name, model.version))

        reconciler.on_change(note)
        publish(tmp_path, PLANE, STAMP)
        await reconciler.reconcile(
            desire_folder(tmp_path, default_model="stamp", pinned_versions={"plane": 1, "stamp": 1})
        )

    assert meant[0] == ("plane", 1)
    assert meant[-1] == ("stamp", 1)
    assert set(meant) == {("plane", 1), ("stamp", 1)}


async def test_a_version_whose_files_change_is_replaced_in_place(tmp_path: Path) -> None:
    publish(tmp_path, PLANE)
    rows = PLANE.rows(3)
    async with opened(tmp_path) as reconciler:
        old = reconciler.catalog.resolve("plane", 1)
        seen: list[tuple[str, bool]] = []

        def note(catalog: Catalog) -> None:
            (version,) = catalog
            seen.append((version.state, version.loaded is old))
            assert catalog.ready

        reconciler.on_change(note)
        shutil.rmtree(tmp_path / "plane")
        publish(tmp_path, OTHER_PLANE)
        await reconciler.reconcile(desire_folder(tmp_path))

        assert seen[:2] == [("loading", True), ("ready", False)]
        found = await codes_of(reconciler.catalog.resolve("plane", 1), rows)
        assert np.allclose(found, OTHER_PLANE.encode(rows), atol=1e-5)
        with pytest.raises(Draining):
            await codes_of(old, rows)


async def test_a_version_whose_changed_files_are_refused_answers_as_it_was(tmp_path: Path) -> None:
    publish(tmp_path, PLANE)
    async with opened(tmp_path) as reconciler:
        old = reconciler.catalog.resolve("plane", 1)
        damage(tmp_path, PLANE)
        await reconciler.reconcile(desire_folder(tmp_path))

        (version,) = reconciler.catalog
        assert version.state == "refused"
        assert version.reason is not None
        assert "decoder.onnx" in version.reason
        assert reconciler.catalog.resolve("plane", 1) is old
        assert reconciler.catalog.ready
        rows = PLANE.rows(2)
        assert np.allclose(await codes_of(old, rows), PLANE.encode(rows), atol=1e-5)


async def test_a_refused_bundle_is_tried_again_only_when_its_files_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, PLANE)
    damage(tmp_path, PLANE)
    async with opened(tmp_path) as reconciler:
        with monkeypatch.context() as patch:
            patch.setattr(reconciler_module, "load_model", None)
            await reconciler.reconcile(desire_folder(tmp_path))
        assert states(reconciler.catalog) == [("plane", 1, "refused")]

        damage(tmp_path, PLANE)  # the same bit again
        await reconciler.reconcile(desire_folder(tmp_path))
        assert states(reconciler.catalog) == [("plane", 1, "ready")]


async def test_the_state_that_was_desired_last_is_what_comes_out(tmp_path: Path) -> None:
    for _ in range(4):
        publish(tmp_path, PLANE)
    everything = desire_folder(tmp_path)
    async with opened(tmp_path) as reconciler:
        for chosen in ([1, 2], [3], [2, 4], [1]):
            versions = tuple(item for item in everything.versions if item.key[1] in chosen)
            last = asyncio.ensure_future(reconciler.reconcile(DesiredState(versions)))
            await asyncio.sleep(0)
        await last
        await reconciler.reconcile()

        assert states(reconciler.catalog) == [("plane", 1, "ready")]


async def test_what_is_required_can_change_without_loading_anything(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, STAMP)
    damage(tmp_path, STAMP)
    async with opened(tmp_path) as reconciler:
        assert not reconciler.catalog.ready
        model = reconciler.catalog.resolve("plane", 1)
        await reconciler.reconcile(desire_folder(tmp_path, required_models=["plane"]))

        assert reconciler.catalog.ready
        assert reconciler.catalog.resolve("plane", 1) is model


async def test_requests_that_use_a_removed_version_finish_with_it(tmp_path: Path) -> None:
    publish(tmp_path, PLANE)
    rows = PLANE.rows(4)
    async with opened(tmp_path) as reconciler:
        old = reconciler.catalog.resolve("plane", None)
        may_go_on = asyncio.Event()

        async def encode_in_two_steps() -> np.ndarray:
            with old.in_use:
                first = await start(ENCODE, old.autoencoder, rows[:2])
                await may_go_on.wait()
                second = await start(ENCODE, old.autoencoder, rows[2:])
            return np.concatenate([first.codes, second.codes])

        request = asyncio.ensure_future(encode_in_two_steps())
        publish(tmp_path, OTHER_PLANE)
        shutil.rmtree(tmp_path / "plane" / "1")
        removing = asyncio.ensure_future(reconciler.reconcile(desire_folder(tmp_path)))
        while states(reconciler.catalog) != [("plane", 2, "ready")]:  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.001)
        assert not removing.done()
        may_go_on.set()

        assert np.allclose(await request, PLANE.encode(rows), atol=1e-5)
        await removing


async def test_a_removed_model_is_collected_without_the_garbage_collector(tmp_path: Path) -> None:
    publish(tmp_path, PLANE)
    async with opened(tmp_path) as reconciler:
        model = reconciler.catalog.resolve("plane", None)
        await codes_of(model, PLANE.rows(2))
        parts = [weakref.ref(model), weakref.ref(model.autoencoder)]
        parts += [weakref.ref(queue) for queue in model.queues.values()]
        parts += [weakref.ref(queue.runnable) for queue in model.queues.values()]
        del model
        publish(tmp_path, PLANE)
        shutil.rmtree(tmp_path / "plane" / "1")
        gc.collect()
        gc.disable()
        gc.freeze()  # as after a start: what is frozen is freed by its reference count alone
        try:
            await reconciler.reconcile(desire_folder(tmp_path))
            assert [part() for part in parts] == [None] * len(parts)
        finally:
            gc.unfreeze()
            gc.enable()


@pytest.mark.slow
async def test_who_counts_a_version_is_told_that_it_was_removed_and_not_that_it_was_replaced(
    tmp_path: Path,
) -> None:
    publish(tmp_path, PLANE, STAMP)
    forgotten = list[tuple[str, int]]()
    reconciler = Reconciler(
        desire_folder(tmp_path), OPTIONS, forget=lambda *key: forgotten.append(key)
    )
    await reconciler.reconcile()
    shutil.rmtree(tmp_path / "plane")
    publish(tmp_path, OTHER_PLANE)
    await reconciler.reconcile(desire_folder(tmp_path))
    assert forgotten == []

    shutil.rmtree(tmp_path / "stamp")
    await reconciler.reconcile(desire_folder(tmp_path))
    assert forgotten == [("stamp", 1)]
    await reconciler.close()


async def test_a_removal_that_is_cancelled_is_done_by_the_next_reconciliation(
    tmp_path: Path,
) -> None:
    publish(tmp_path, PLANE, STAMP)
    async with opened(tmp_path) as reconciler:
        model = reconciler.catalog.resolve("stamp", 1)
        shutil.rmtree(tmp_path / "stamp")
        with model.in_use:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await reconciler.reconcile(desire_folder(tmp_path))
            assert states(reconciler.catalog) == [("plane", 1, "ready")]
        await reconciler.reconcile()

        with pytest.raises(Draining):
            await codes_of(model, STAMP.rows(1))


@pytest.mark.timeout(20)
async def test_closing_fails_what_waits_and_takes_no_more(tmp_path: Path) -> None:
    publish(tmp_path, PLANE)
    async with opened(tmp_path) as reconciler:
        model = reconciler.catalog.resolve(None, None)
        rows = PLANE.rows(700)
        waiting = [asyncio.ensure_future(codes_of(model, rows)) for _ in range(3)]
        await asyncio.sleep(0)
        await reconciler.close()

        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Draining] * 3
        with pytest.raises(Draining):
            await codes_of(model, rows)


async def test_the_same_name_may_come_from_another_folder(tmp_path: Path) -> None:
    first = publish_tiny(tmp_path / "first", PLANE)
    second = publish_tiny(tmp_path / "second", OTHER_PLANE)
    rows = tiny_model().rows(2)
    reconciler = Reconciler(DesiredState((DesiredVersion(first),)), OPTIONS)
    await reconciler.reconcile()
    await reconciler.reconcile(DesiredState((DesiredVersion(second),)))

    found = await codes_of(reconciler.catalog.resolve(None, None), rows)
    assert np.allclose(found, OTHER_PLANE.encode(rows), atol=1e-5)
    await reconciler.close()
