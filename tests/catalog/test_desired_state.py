"""What a service should have: everything in a folder, and what refers to it."""

import os
from pathlib import Path
from typing import Any

import pytest

from service.bundle.storage import BundleLocation
from service.catalog.desired_state import (
    DesiredState,
    DesiredVersion,
    desire_folder,
    fingerprint_of,
)
from service.errors import ConfigurationError
from tests.bundles import PLANE, STAMP, publish_tiny
from tests.catalog.reconcilers import publish


def test_every_bundle_of_a_folder_is_desired_and_every_model_required(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, PLANE, STAMP)

    desired = desire_folder(tmp_path)

    assert [version.key for version in desired.versions] == [
        ("plane", 1),
        ("plane", 2),
        ("stamp", 1),
    ]
    assert desired.required_models == {"plane", "stamp"}
    assert desired.keys == {("plane", 1), ("plane", 2), ("stamp", 1)}


def test_where_models_are_required_by_name_no_other_is(tmp_path: Path) -> None:
    publish(tmp_path, PLANE, STAMP)

    desired = desire_folder(tmp_path, required_models=("plane",))

    assert desired.required_models == {"plane"}


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"default_model": "nobody"}, "the default model nobody is not in the folder"),
        ({"pinned_versions": {"plane": 2}}, "the pinned version 2 of plane is not there"),
        ({"pinned_versions": {"nobody": 1}}, "the pinned version 1 of nobody is not there"),
        (
            {"required_models": ["plane", "nobody"]},
            "the required model nobody is not in the folder",
        ),
    ],
)
def test_what_refers_to_something_that_is_not_there_is_an_error(
    choices: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    publish(tmp_path, PLANE)

    with pytest.raises(ConfigurationError, match=f"^{reason}$"):
        desire_folder(tmp_path, **choices)


def test_a_desired_state_that_contradicts_itself_cannot_be_made() -> None:
    versions = (DesiredVersion(BundleLocation("plane", 1, Path())),)

    with pytest.raises(ConfigurationError, match="the pinned version 2 of plane is not there"):
        DesiredState(versions, pinned_versions={"plane": 2})


def test_a_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    folder = publish_tiny(tmp_path, PLANE).folder
    seen = {fingerprint_of(folder)}
    assert seen == {fingerprint_of(folder)}

    encoder = folder / "encoder.onnx"
    before = encoder.stat()
    encoder.write_bytes(encoder.read_bytes() + b"more")
    seen.add(fingerprint_of(folder))
    assert len(seen) == 2

    encoder.write_bytes(encoder.read_bytes()[:-4])
    os.utime(encoder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fingerprint_of(folder) in seen

    manifest = folder / "manifest.json"
    times = manifest.stat()
    manifest.write_bytes(manifest.read_bytes().replace(b"tiny", b"tall"))
    os.utime(manifest, ns=(times.st_atime_ns, times.st_mtime_ns))
    seen.add(fingerprint_of(folder))
    assert len(seen) == 3  # of the same size and time, and still another manifest

    encoder.unlink()
    seen.add(fingerprint_of(folder))
    assert len(seen) == 4


def test_a_folder_that_cannot_be_read_has_a_fingerprint_too(tmp_path: Path) -> None:
    assert fingerprint_of(tmp_path / "nowhere") == fingerprint_of(tmp_path / "nowhere either")
    (tmp_path / "encoder.onnx").touch()
    assert fingerprint_of(tmp_path) != fingerprint_of(tmp_path / "nowhere")
