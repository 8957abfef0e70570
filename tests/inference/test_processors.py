"""Threads are planned for the processors this process may really use."""

import os
from pathlib import Path

import pytest

from service.inference import processors
from service.inference.processors import cgroup_quota, usable_processors


def quota_of(folder: Path, **files: str) -> float | None:
    for name, content in files.items():
        (folder / name).write_text(content)
    return cgroup_quota(folder / "max", folder / "quota", folder / "period")


@pytest.mark.parametrize(
    ("content", "quota"),
    [
        ("max 100000\n", None),
        ("150000 100000\n", 1.5),
        ("50000 100000\n", 0.5),
        ("800000 100000\n", 8.0),
    ],
)
def test_the_quota_of_a_version_2_group(content: str, quota: float | None, tmp_path: Path) -> None:
    assert quota_of(tmp_path, max=content, quota="100000\n", period="100000\n") == quota


@pytest.mark.parametrize(("content", "quota"), [("-1\n", None), ("250000\n", 2.5)])
def test_the_quota_of_a_version_1_group(content: str, quota: float | None, tmp_path: Path) -> None:
    assert quota_of(tmp_path, quota=content, period="100000\n") == quota


def test_a_machine_without_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota_of(tmp_path) is None


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
