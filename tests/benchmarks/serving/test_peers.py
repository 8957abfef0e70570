"""What other model servers need is pinned to the byte, and none of it comes into this project."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks.serving import peers
from benchmarks.serving.peers import ADAPTERS, LOCKS, PEERS, Peer, PeerUnavailable, prepare

ONNXRUNTIME = re.compile(r"^onnxruntime==(\S+)", re.MULTILINE)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.key)
def test_a_peer_has_its_files(peer: Peer) -> None:
    assert peer.lock.with_suffix(".in").is_file()
    program, adapter = peer.command(Path("bin"))
    assert program == "bin/python"
    assert Path(adapter).parent == ADAPTERS
    assert Path(adapter).is_file()


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*.txt")), ids=lambda lock: lock.stem)
def test_a_lock_pins_everything_with_hashes_and_names_no_index(lock: Path) -> None:
    text = lock.read_text()
    requirements = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^ *#.*\n?", "", text))
    assert len(requirements) > 10
    assert all("==" in one and "--hash=sha256:" in one for one in requirements)
    assert "://" not in text
    assert "--index" not in text


def test_every_peer_runs_the_onnxruntime_that_we_run() -> None:
    ours = ONNXRUNTIME.findall((LOCKS.parents[1] / "requirements" / "dev.txt").read_text())
    assert {tuple(ONNXRUNTIME.findall(peer.lock.read_text())) for peer in PEERS} == {tuple(ours)}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.key)
def test_a_report_can_name_the_versions(peer: Peer) -> None:
    named = [pin.partition("==")[0] for pin in peer.pinned()]
    assert sorted(named) == sorted(peer.packages)


def test_an_environment_that_is_there_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[tuple[str, ...]] = []

    def run(*command: str) -> None:
        made.append(command)
        (tmp_path / "latentserve" / "peers" / "litserve").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(peers, "_run", run)
    (peer,) = (one for one in PEERS if one.key == "litserve")
    programs = prepare(peer)
    assert programs == tmp_path / "latentserve" / "peers" / "litserve" / "bin"
    assert [command[:3] for command in made] == [
        (sys.executable, "-m", "venv"),
        (str(programs / "python"), "-m", "pip"),
    ]
    assert "--require-hashes" in made[1]
    assert prepare(peer) == programs
    assert len(made) == 2


def test_a_peer_without_its_python_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "VERSIONS", ((9, 0), (9, 1)))
    with pytest.raises(PeerUnavailable, match=r"Python from 3\.11 to 3\.13"):
        prepare(PEERS[0])


def test_what_pip_says_is_why_a_peer_is_unavailable() -> None:
    with pytest.raises(PeerUnavailable, match="cannot be installed: no such wheel"):
        peers._run("sh", "-c", "echo no such wheel >&2; exit 1")
