"""What version 1.1 of the schema adds, and that manifests of 1.0 are read and written as before."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.manifest import (
    ColumnSpec,
    ExtensionSpec,
    InputSpec,
    Manifest,
    NoiseSpec,
    WindowSpec,
)
from service.bundle.signing import parse_manifest, write_manifest
from service.bundle.storage import read_bundle, read_bundle_at
from service.catalog.verification import open_verified_sessions
from service.errors import BundleFileCorrupted
from service.inference.session import SessionOptions
from tests.bundle.manifests import complete
from tests.bundles import PLANE, STAMP, TINY_MODELS, WAVE, TinyModel, publish_tiny, tiny_manifest

MODELS = Path(__file__).parents[2] / "models"
BUNDLES = sorted(MODELS.glob("*/*/manifest.json"))
NEIGHBORS = ExtensionSpec(
    kind="neighbors",
    description="Rows with similar codes.",
    files=("neighbors.npz",),
    settings={"metric": "euclidean", "count": 10},
)


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.parts[-3])
def test_a_published_manifest_is_written_again_byte_for_byte(path: Path) -> None:
    content = path.read_bytes()

    manifest = parse_manifest(content)

    assert write_manifest(manifest) == content
    assert manifest.digest == json.loads(content)["digest"]


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.parts[-3])
def test_a_published_bundle_is_read_with_every_digest(path: Path) -> None:
    bundle = read_bundle_at(path.parent)

    assert set(bundle.files) == set(bundle.manifest.files)


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_a_manifest_of_1_0_has_no_field_that_1_1_added(model: TinyModel) -> None:
    fields = json.loads(write_manifest(parse_manifest(write_manifest(complete(model)))))

    assert fields["schema_version"] == "1.0.0"
    assert "extensions" not in fields
    assert "windows" not in fields["input"]
    assert "background" not in fields["input"]
    for column in (*(fields["input"]["columns"] or ()), *(fields["conditions"] or ())):
        assert "training_range" not in column


def of_1_1(model: TinyModel, **changes: Any) -> Manifest:
    return complete(model).model_copy(update={"schema_version": "1.1.0", **changes})


def columns_spec(training_range: tuple[float, float] | None) -> InputSpec:
    first = ColumnSpec(name="a", training_range=training_range)
    others = tuple(ColumnSpec(name=name) for name in "bcd")
    return InputSpec(kind="tabular", shape=(4,), units="none", columns=(first, *others))


WITH_ADDITIONS = {
    "training ranges": of_1_1(PLANE, input=columns_spec((-1.5, 2.0))),
    "a training range of one value": of_1_1(PLANE, input=columns_spec((0.0, 0.0))),
    "windows": of_1_1(
        WAVE,
        input=InputSpec(
            kind="series", shape=(8, 1), units="none", windows=WindowSpec(length=8, stride=2)
        ),
    ),
    **{
        f"a background of {background}": of_1_1(
            STAMP,
            input=InputSpec(
                kind="image", shape=(6, 4, 1), range=(0, 1), units="none", background=background
            ),
        )
        for background in (0.0, 0.5, 1.0)
    },
    "masking noise": of_1_1(
        STAMP, noise=NoiseSpec(kind="masking", level=0.5, description="half of the values")
    ),
    "no addition": of_1_1(PLANE),
}


@pytest.mark.parametrize("name", WITH_ADDITIONS)
def test_what_1_1_adds_is_read_as_it_was_written(name: str) -> None:
    manifest = WITH_ADDITIONS[name]

    parsed = parse_manifest(write_manifest(manifest))

    assert parsed == manifest.model_copy(update={"digest": parsed.digest})


def test_an_extension_is_read_with_its_graphs_files_and_settings(tmp_path: Path) -> None:
    encoder = tiny_manifest(PLANE).graphs["encoder"]
    extension = NEIGHBORS.model_copy(update={"graphs": {"probabilities": encoder}})
    location = publish_tiny(
        tmp_path,
        PLANE,
        {"neighbors.npz": b"rows"},
        schema_version="1.1.0",
        extensions={"near": extension},
    )

    bundle = read_bundle(location)

    assert bundle.manifest.extensions == {"near": extension}
    assert bundle.files["neighbors.npz"] == b"rows"


def test_an_extension_of_an_unknown_kind_is_kept_and_otherwise_ignored(tmp_path: Path) -> None:
    unknown = NEIGHBORS.model_copy(update={"kind": "horoscope"})
    location = publish_tiny(
        tmp_path,
        PLANE,
        {"neighbors.npz": b"rows"},
        schema_version="1.1.0",
        extensions={"future": unknown},
    )

    bundle = read_bundle(location)
    sessions, _ = open_verified_sessions(bundle, SessionOptions())

    assert set(sessions) == set(tiny_manifest(PLANE).graphs)
    rows = PLANE.rows(3)
    np.testing.assert_allclose(sessions["encoder"].run(rows)[0], PLANE.encode(rows), rtol=1e-5)
    assert parse_manifest(write_manifest(bundle.manifest)).extensions == {"future": unknown}


def test_a_changed_file_of_an_extension_is_found(tmp_path: Path) -> None:
    location = publish_tiny(
        tmp_path,
        PLANE,
        {"neighbors.npz": b"rows"},
        schema_version="1.1.0",
        extensions={"near": NEIGHBORS},
    )
    (location.folder / "neighbors.npz").write_bytes(b"cows")

    with pytest.raises(BundleFileCorrupted, match=r"neighbors\.npz"):
        read_bundle(location)
