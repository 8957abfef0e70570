"""The memory that a container may use, by either version of control groups."""

from pathlib import Path

import pytest

from service.cgroups import memory_limit_bytes


def limit(folder: Path, membership: str | None, **files: str) -> int | None:
    for name, content in files.items():
        file = folder / "cgroups" / name.replace("___", "/").replace("__", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    listed = folder / "membership"
    if membership is not None:
        listed.write_text(membership)
    return memory_limit_bytes(folder / "cgroups", listed)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"memory__max": "max\n"}, None),
        ({"memory__max": "1073741824\n"}, 2**30),
        ({"memory___memory__limit_in_bytes": "9223372036854771712\n"}, None),
        ({"memory___memory__limit_in_bytes": "536870912\n"}, 2**29),
        ({"memory__max": "nonsense"}, None),
    ],
)
@pytest.mark.parametrize("membership", ["0::/\n4:memory:/\n", None])
def test_the_limit_of_a_container_is_read(
    tmp_path: Path, membership: str | None, files: dict[str, str], expected: int | None
) -> None:
    assert limit(tmp_path, membership, **files) == expected


def test_the_smallest_limit_around_counts(tmp_path: Path) -> None:
    files = {"memory__max": "4096", "a___memory__max": "1024", "a___b___memory__max": "max"}

    assert limit(tmp_path, "0::/a/b\n", **files) == 1024
