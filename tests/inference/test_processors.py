"""Threads are planned for the processors this process may really use."""

import os
from pathlib import Path

import pytest

from service.inference import processors
from service.inference.processors import (
    cgroup_quota,
    keep_libraries_single_threaded,
    usable_processors,
)


def quota_of(folder: Path, membership: str | None, **files: str) -> float | None:
    """The quota where these groups have these files: dots in names for __, slashes for ___."""
    for name, content in files.items():
        file = folder / "cgroups" / name.replace("___", "/").replace("__", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    listed = folder / "membership"
    if membership is not None:
        listed.write_text(membership)
    return cgroup_quota(folder / "cgroups", listed)


V1_QUOTA = "cpu___cpu__cfs_quota_us"
V1_PERIOD = "cpu___cpu__cfs_period_us"
V1_MEMBERSHIP = "5:cpuset:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"


@pytest.mark.parametrize(
    ("content", "quota"),
    [
        ("max 100000\n", None),
        ("150000 100000\n", 1.5),
        ("50000 100000\n", 0.5),
        ("800000 100000\n", 8.0),
    ],
)
@pytest.mark.parametrize("membership", ["0::/\n", "0::/../gone\n", None])
def test_the_quota_of_a_version_2_container(
    content: str, quota: float | None, membership: str | None, tmp_path: Path
) -> None:
    assert quota_of(tmp_path, membership, cpu__max=content) == quota


@pytest.mark.parametrize(("content", "quota"), [("-1\n", None), ("250000\n", 2.5)])
@pytest.mark.parametrize("membership", [V1_MEMBERSHIP, None])
def test_the_quota_of_a_version_1_container(
    content: str, quota: float | None, membership: str | None, tmp_path: Path
) -> None:
    files = {V1_QUOTA: content, V1_PERIOD: "100000\n"}
    assert quota_of(tmp_path, membership, **files) == quota


@pytest.mark.parametrize(
    ("own", "around", "quota"),
    [("200000", "100000", 1.0), ("50000", "100000", 0.5), ("max", "300000", 3.0)],
)
def test_the_least_quota_of_the_groups_around_a_process_counts(
    own: str, around: str, quota: float, tmp_path: Path
) -> None:
    files = {
        "system__slice___latentserve__service___cpu__max": f"{own} 100000\n",
        "system__slice___cpu__max": f"{around} 100000\n",
    }
    membership = "0::/system.slice/latentserve.service\n"
    assert quota_of(tmp_path, membership, **files) == quota


def test_a_machine_without_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota_of(tmp_path, None) is None
    assert quota_of(tmp_path, "0::/user.slice\n") is None


@pytest.mark.parametrize(
    ("affinity", "quota", "usable"),
    [(8, None, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.25, 1), (2, 16.0, 2), (1, None, 1)],
)
def test_the_smaller_of_affinity_and_quota_is_usable(
    affinity: int, quota: float | None, usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    monkeypatch.setattr(processors, "cgroup_quota", lambda: quota)

    assert usable_processors() == usable


@pytest.mark.parametrize(("given", "kept"), [(None, "1"), ("4", "4")])
def test_numpy_gets_one_thread_unless_its_user_says_otherwise(
    given: str | None, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", given)

    keep_libraries_single_threaded()

    assert os.environ["OPENBLAS_NUM_THREADS"] == kept
