"""Which version a request means, and whether what is required answers."""

from pathlib import Path

import pytest

from service.bundle.storage import BundleLocation
from service.catalog.catalog import Catalog, Defaults, ModelVersion
from service.catalog.desired_state import DesiredVersion
from service.errors import (
    ModelNotFound,
    ModelRequired,
    ModelUnavailable,
    VersionNotFound,
)
from tests.bundles import PLANE, STAMP
from tests.catalog.reconcilers import damage, opened, publish


def version(name: str, number: int) -> ModelVersion:
    """A version that is loading."""
    return ModelVersion(DesiredVersion(BundleLocation(name, number, Path())))


async def test_a_request_without_a_version_means_the_highest_that_is_ready(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE, PLANE)
    damage(tmp_path, PLANE, version=3)
    async with opened(tmp_path) as reconciler:
        catalog = reconciler.catalog
        assert catalog.default_version("plane") == 2
        assert catalog.resolve("plane", None).version == 2
        assert catalog.resolve("plane", 1).version == 1
        with pytest.raises(ModelUnavailable, match="version 3 of plane is not ready: 3 is refused"):
            catalog.resolve("plane", 3)


async def test_a_pinned_version_is_meant_even_when_a_higher_one_is_ready(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE, STAMP)
    async with opened(tmp_path, pinned_versions={"plane": 1}) as reconciler:
        catalog = reconciler.catalog
        assert catalog.default_version("plane") == 1
        assert catalog.resolve("plane", None).version == 1
        assert catalog.resolve("plane", 2).version == 2
        assert catalog.resolve("stamp", None).version == 1


async def test_a_pinned_version_that_was_refused_is_not_replaced_by_another(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE)
    damage(tmp_path, PLANE, version=1)
    async with opened(tmp_path, pinned_versions={"plane": 1}) as reconciler:
        with pytest.raises(ModelUnavailable, match="version 1 of plane is not ready: 1 is refused"):
            reconciler.catalog.resolve("plane", None)


async def test_the_only_model_need_not_be_named(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE)
    async with opened(tmp_path) as reconciler:
        assert reconciler.catalog.default_model == "plane"
        assert reconciler.catalog.resolve(None, None).version == 2
        assert reconciler.catalog.resolve(None, 1).version == 1


async def test_one_of_several_models_has_to_be_named_unless_there_is_a_default(
    tmp_path: Path,
) -> None:
    publish(tmp_path, PLANE, STAMP)
    async with opened(tmp_path) as reconciler:
        assert reconciler.catalog.default_model is None
        with pytest.raises(ModelRequired, match="name a model; there are plane, stamp") as caught:
            reconciler.catalog.resolve(None, None)
        assert [error.pointer for error in caught.value.field_errors] == ["/model"]
    async with opened(tmp_path, default_model="stamp") as reconciler:
        assert reconciler.catalog.resolve(None, None).name == "stamp"
        assert reconciler.catalog.resolve("plane", None).name == "plane"


async def test_unknown_models_and_versions_are_told_from_each_other(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE, STAMP)
    async with opened(tmp_path) as reconciler:
        catalog = reconciler.catalog
        for name in ("nobody", ""):
            with pytest.raises(ModelNotFound, match="there are plane, stamp"):
                catalog.resolve(name, None)
        with pytest.raises(ModelNotFound):
            catalog.versions_of("nobody")
        for number in (0, 3, -1):
            with pytest.raises(VersionNotFound, match="of model plane; it has 1, 2"):
                catalog.resolve("plane", number)


def test_a_catalog_without_versions_is_not_ready_and_says_so() -> None:
    catalog = Catalog([], Defaults(None, {}))

    assert not catalog.ready
    assert not catalog.loading
    assert list(catalog) == []
    with pytest.raises(ModelNotFound, match="no model is configured"):
        catalog.resolve(None, None)
    with pytest.raises(ModelNotFound, match="there are none"):
        catalog.resolve("plane", None)


def test_versions_are_listed_by_name_and_ascending_number() -> None:
    versions = [version("b", 2), version("a", 10), version("a", 9), version("b", 1)]
    catalog = Catalog(versions, Defaults(None, {}))

    assert [item.key for item in catalog] == [("a", 9), ("a", 10), ("b", 1), ("b", 2)]
    assert catalog.names == ["a", "b"]
    found = catalog.get("a", 10)
    assert found is not None
    assert found.key == ("a", 10)
    assert catalog.get("a", 1) is None
    assert catalog.get("c", 1) is None


@pytest.mark.parametrize("damaged", [1, 2])
async def test_a_refused_version_beside_one_that_answers_does_not_block(
    damaged: int, tmp_path: Path
) -> None:
    publish(tmp_path, PLANE, PLANE)
    damage(tmp_path, PLANE, version=damaged)
    async with opened(tmp_path) as reconciler:
        catalog = reconciler.catalog
        assert [item.state for item in catalog].count("refused") == 1
        assert not any(map(catalog.blocks_readiness, catalog))
        assert catalog.ready


async def test_by_default_every_model_is_required(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE, STAMP)
    damage(tmp_path, PLANE, version=1)
    damage(tmp_path, PLANE, version=2)
    async with opened(tmp_path) as reconciler:
        catalog = reconciler.catalog
        blocking = [item.key for item in catalog if catalog.blocks_readiness(item)]
        assert blocking == [("plane", 1), ("plane", 2)]
        assert not catalog.ready


async def test_a_model_of_which_every_folder_is_refused_is_required_too(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, STAMP)
    (tmp_path / "plane" / "1").rename(tmp_path / "plane" / "v1")
    async with opened(tmp_path) as reconciler:
        catalog = reconciler.catalog
        (refused,) = catalog.refused_folders
        assert refused.path == "plane/v1"
        assert catalog.waits_for("plane")
        assert not catalog.ready
    async with opened(tmp_path, required_models=["stamp"]) as reconciler:
        assert reconciler.catalog.ready


async def test_a_version_that_is_not_required_may_be_refused(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, STAMP)
    damage(tmp_path, STAMP)
    async with opened(tmp_path, required_models=["plane"]) as reconciler:
        assert reconciler.catalog.ready
        assert not any(map(reconciler.catalog.blocks_readiness, reconciler.catalog))


async def test_a_required_model_is_ready_when_requests_without_a_version_are_answered(
    tmp_path: Path,
) -> None:
    publish(tmp_path, PLANE, PLANE, STAMP)
    damage(tmp_path, PLANE, version=2)
    async with opened(tmp_path, required_models=["plane"]) as reconciler:
        assert reconciler.catalog.ready
    pins = {"plane": 2}
    async with opened(tmp_path, required_models=["plane"], pinned_versions=pins) as reconciler:
        catalog = reconciler.catalog
        assert not catalog.ready
        blocking = [item.key for item in catalog if catalog.blocks_readiness(item)]
        assert blocking == [("plane", 2)]


def test_a_required_model_that_still_loads_is_not_ready() -> None:
    loading = [version("plane", number) for number in (1, 2)]
    catalog = Catalog(loading, Defaults(None, {}, frozenset({"plane"})))

    assert catalog.loading
    assert not catalog.ready
    assert all(map(catalog.blocks_readiness, catalog))


def test_a_name_that_is_not_there_is_told_the_nearest_and_a_few_of_those_that_are() -> None:
    names = [f"model-{number:03}" for number in range(200)]
    catalog = Catalog([version(name, 1) for name in names], Defaults(None, {}))

    with pytest.raises(ModelNotFound) as raised:
        catalog.versions_of("modle-123")
    assert str(raised.value) == (
        "no model of that name; model-123 was probably meant; there are "
        + ", ".join(names[:20])
        + " and 180 more, which GET /models lists"
    )
    with pytest.raises(ModelNotFound, match=r"^no model of that name; there are model-000"):
        catalog.versions_of("x" * 100_000)


def test_a_version_that_is_not_there_is_told_the_last_ones() -> None:
    catalog = Catalog([version("plane", number) for number in range(1, 31)], Defaults(None, {}))

    with pytest.raises(VersionNotFound, match=r"it has 11, .*, 30 and 10 earlier$"):
        catalog.resolve("plane", 99)
