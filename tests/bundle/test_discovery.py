"""Whatever lies in a models folder is found, refused with its reason, or named as ignored."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.bundle.discovery import MAX_VERSION, survey_models
from service.errors import ConfigurationError
from tests.bundles import PLANE, publish_tiny

ROOT = Path(__file__).parents[2]
NAME = "the name of a model has 1 to 64 lower-case letters, digits and hyphens"
VERSION = "the name of a version is a positive integer without leading zeros"


def refused(models_dir: Path) -> dict[str, str]:
    return {folder.path: folder.reason for folder in survey_models(models_dir).refused}


@pytest.mark.parametrize("name", ["01", "v1", "V2", "0", "1.0", "v1.2.3"])
def test_a_folder_that_means_a_version_and_is_not_named_so_is_refused(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "plane" / name).mkdir(parents=True)

    assert refused(tmp_path) == {f"plane/{name}": f"MisplacedBundle: {VERSION}"}


@pytest.mark.parametrize("name", ["latest", "-3", "٩"])
def test_a_folder_of_any_name_that_holds_a_manifest_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "plane" / name
    folder.mkdir(parents=True)
    assert survey_models(tmp_path).ignored == [f"plane/{name}"]

    (folder / "manifest.json").touch()
    assert refused(tmp_path) == {f"plane/{name}": f"MisplacedBundle: {VERSION}"}


def test_a_version_has_at_most_63_bits(tmp_path: Path) -> None:
    for version in (MAX_VERSION, MAX_VERSION + 1, 10**60, "9" * 200):
        (tmp_path / "plane" / str(version)).mkdir(parents=True)
    survey = survey_models(tmp_path)

    assert [location.version for location in survey.bundles] == [MAX_VERSION]
    assert len(survey.refused) == 3
    assert {folder.reason for folder in survey.refused} == {
        f"MisplacedBundle: a version is at most {MAX_VERSION}"
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"Plane", "Plane"),
        (b"my model", "my model"),
        (b"-plane", "-plane"),
        (b"plane\n", "plane\\n"),
        (b"a" * 65, "a" * 65),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("größe".encode(), "größe"),
    ],
)
def test_a_model_has_a_name_of_the_manifests_pattern(
    name: bytes, shown: str, tmp_path: Path
) -> None:
    os.makedirs(os.path.join(os.fsencode(tmp_path), name, b"1"))  # noqa: PTH103, PTH118  # bytes
    (found,) = survey_models(tmp_path).refused

    assert found.path == f"{shown}/1"
    assert found.model == shown
    assert found.reason.startswith(f"MisplacedBundle: {NAME}")


def test_links_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "plane").mkdir()
    (tmp_path / "plane" / "1").symlink_to("nowhere")
    (tmp_path / "wave").symlink_to("wave")
    (tmp_path / "stamp").symlink_to("nowhere")

    assert refused(tmp_path) == {
        "plane/1": "MisplacedBundle: it cannot be read: No such file or directory",
        "stamp": "MisplacedBundle: it cannot be listed: No such file or directory",
        "wave": "MisplacedBundle: it cannot be listed: Too many levels of symbolic links",
    }


def test_what_does_not_look_like_a_bundle_is_named(tmp_path: Path) -> None:
    publish_tiny(tmp_path, PLANE)
    (tmp_path / "README.md").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "plane" / "2").touch()
    (tmp_path / "plane" / "notes").mkdir()
    (tmp_path / "plane" / "dangling").symlink_to("nowhere")
    (tmp_path / ".git").mkdir()
    (tmp_path / "plane" / ".publishing-x").mkdir()
    survey = survey_models(tmp_path)

    assert [(found.name, found.version) for found in survey.bundles] == [("plane", 1)]
    assert survey.refused == []
    assert survey.ignored == ["README.md", "empty", "plane/2", "plane/dangling", "plane/notes"]
    assert survey.misplaced is None


def test_a_bundle_or_a_model_in_the_place_of_the_models_folder_is_told(tmp_path: Path) -> None:
    folder = publish_tiny(tmp_path, PLANE).folder

    assert survey_models(folder).misplaced == (
        "this folder is itself a bundle: its grandparent is the models folder"
    )
    assert survey_models(folder.parent).misplaced == (
        "this folder holds the versions of one model: its parent is the models folder"
    )


@pytest.mark.parametrize("place", ["nowhere", "a file", "a file/beneath"])
def test_a_models_folder_that_is_not_there_is_a_wrong_setting(place: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()

    with pytest.raises(ConfigurationError, match=r"does not exist$"):
        survey_models(tmp_path / place)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.slow
def test_folders_that_this_user_may_not_read_are_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tmp_path = tmp_path_factory.mktemp("models")
    for place in ("unlisted/1", "plane/1", "plane/2"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "unlisted").chmod(0o311)
    (tmp_path / "plane" / "1").chmod(0)
    for parent in (tmp_path, *tmp_path.parents):
        if not parent.stat().st_mode & 0o001:
            parent.chmod(0o711)
    tmp_path.chmod(0o755)
    program = (
        "import os, pathlib, sys\n"
        "from service.bundle.discovery import survey_models\n"
        "from service.bundle.storage import read_bundle\n"
        "os.setuid(65534)\n"
        "survey = survey_models(pathlib.Path(sys.argv[1]))\n"
        "print(*(f'{f.path}: {f.reason}' for f in survey.refused), sep='\\n')\n"
        "for location in survey.bundles:\n"
        "    try:\n"
        "        read_bundle(location)\n"
        "    except Exception as error:\n"
        "        print(location.version, error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path], cwd=ROOT, capture_output=True, check=True
    )

    assert run.stdout.decode().splitlines() == [
        "unlisted: MisplacedBundle: it cannot be listed: Permission denied",
        "1 manifest.json cannot be read: Permission denied",
        "2 manifest.json is missing",
    ]
