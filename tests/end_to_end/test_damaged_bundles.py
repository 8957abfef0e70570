"""Whatever happens to a file of a bundle, it is refused with its reason while the others serve."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.bundles import PLANE, SCORE, STAMP, publish_tiny
from tests.end_to_end.servers import START_SECONDS, Server, serving

FILES = (
    *("manifest.json", "encoder.onnx", "decoder.onnx", f"scorer-{SCORE}.onnx"),
    *("calibration.npz", "priors.npz", "golden.npz", "report.html"),
)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def extended(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def flipped(path: Path, place: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(bytes(content))


def missing(path: Path) -> None:
    path.unlink()


def led_astray(path: Path) -> None:
    """Replace the file by a link to its own content outside the bundle."""
    outside = path.parents[3] / f"{path.name}-{path.parent.name}"
    path.rename(outside)
    path.symlink_to(outside)


@dataclass(frozen=True)
class Damage:
    """What is done to one file, and what its bundle is refused for."""

    file: str
    harm: Callable[[Path], None]
    reason: str
    name: str


def damages() -> Iterator[Damage]:
    for file in FILES:
        absent = "BundleNotFound" if file == "manifest.json" else "BundleFileMissing"
        altered = f"BundleFileCorrupted: {file}"
        unreadable = "InvalidManifest: manifest.json" if file == "manifest.json" else altered
        for harm, reason in (
            (truncated, altered),
            (emptied, unreadable),
            (extended, altered),
            (flipped, altered),
            (missing, f"{absent}: {file} is missing"),
            (led_astray, f"UnsafeBundlePath: {file}"),
        ):
            yield Damage(file, harm, reason, f"{file} {harm.__name__}")
    for percent in range(0, 100, 7):

        def flip_there(path: Path, place: float = percent / 100) -> None:
            flipped(path, place)

        yield Damage("manifest.json", flip_there, "", f"manifest.json flipped at {percent} %")


DAMAGES = list(damages())
SOUND_VERSION = len(DAMAGES) + 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve one version of the stamp for each damage, a sound one, and the sound plane."""
    folder = tmp_path_factory.mktemp("damaged")
    models_dir = folder / "models"
    first = publish_tiny(models_dir, STAMP).folder
    for version in range(2, SOUND_VERSION + 1):
        shutil.copytree(first, first.with_name(str(version)))
    for version, damage in enumerate(DAMAGES, 1):
        damage.harm(first.with_name(str(version)) / damage.file)
    publish_tiny(models_dir, PLANE)
    with serving(models_dir, folder / "log") as server:
        yield server


@pytest.fixture(scope="module")
def refused(http: httpx.Client) -> dict[int, str]:
    response = http.get("/readyz")
    assert response.status_code == 200  # each model has a version that answers
    not_ready = response.json()["not_ready"]
    assert {(item["model"], item["state"]) for item in not_ready} == {("stamp", "refused")}
    return {item["version"]: item["reason"] for item in not_ready}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "damage"), list(enumerate(DAMAGES, 1)), ids=[damage.name for damage in DAMAGES]
)
def test_a_damaged_bundle_is_refused_with_its_reason(
    http: httpx.Client, refused: dict[int, str], version: int, damage: Damage
) -> None:
    assert refused[version].startswith(damage.reason)
    assert "manifest" in refused[version] or damage.file in refused[version]
    response = http.post("/encode", json={"model": "stamp", "version": version, "inputs": [[0]]})
    assert response.status_code == 503
    assert response.json()["detail"] == (
        f"version {version} of stamp is not ready: {version} is refused ({refused[version]})"
    )


def test_no_sound_bundle_is_refused(refused: dict[int, str]) -> None:
    assert list(refused) == list(range(1, SOUND_VERSION))


def test_models_lists_the_same_reasons(http: httpx.Client, refused: dict[int, str]) -> None:
    listed = {model["name"]: model for model in http.get("/models").json()["models"]}

    stamp = {item["version"]: item for item in listed["stamp"]["versions"]}
    assert listed["stamp"]["default_version"] == SOUND_VERSION
    assert stamp[SOUND_VERSION]["state"] == "ready"
    for version, reason in refused.items():
        assert (stamp[version]["state"], stamp[version]["reason"]) == ("refused", reason)
    assert [item["state"] for item in listed["plane"]["versions"]] == ["ready"]


def test_the_log_names_every_refused_bundle(server: Server, refused: dict[int, str]) -> None:
    logged = {
        line["version"]: (line["model"], line["reason"])
        for line in server.lines()
        if line["event"] == "bundle refused"
    }

    assert logged == {version: ("stamp", reason) for version, reason in refused.items()}


def test_the_others_serve(http: httpx.Client) -> None:
    for model in (PLANE, STAMP):
        rows = model.rows(2)
        answer = http.post("/encode", json={"model": model.name, "inputs": rows.tolist()}).json()
        np.testing.assert_allclose(answer["codes"], model.encode(rows), atol=1e-5)


@pytest.mark.slow
def test_a_folder_of_nothing_but_damage_is_alive(
    tmp_path: Path,
) -> None:
    folder = publish_tiny(tmp_path / "models", PLANE).folder
    truncated(folder / "encoder.onnx")
    (tmp_path / "models" / "not-a-model").mkdir()
    (tmp_path / "models" / "note.txt").write_text("left here by somebody")
    with (
        serving(tmp_path / "models", tmp_path / "log") as server,
        httpx.Client(base_url=server.url, timeout=START_SECONDS) as http,
    ):
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").json()["models"] == 1
        assert http.post("/encode", json={"inputs": [[0]]}).status_code == 503
