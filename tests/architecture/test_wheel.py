"""The wheel holds the two programs and their data, and nothing that only the project needs."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from training.recipe.files import shipped_recipe_names

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build the wheel from a copy of everything that could get into it; name its files."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("service", "training", "docs_generators", "benchmarks", "tests"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.txt")
        )
    build = [*(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index")]
    build += ["--no-build-isolation", "--disable-pip-version-check", "--wheel-dir", str(target)]
    subprocess.run([*build, str(source)], check=True)
    (wheel,) = target.iterdir()
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_the_wheel_holds_the_two_programs_and_nothing_else(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}

    assert tops == {"service", "training"}


def test_every_module_and_data_file_of_the_programs_is_in_the_wheel(names: set[str]) -> None:
    modules = {
        path.relative_to(ROOT).as_posix()
        for package in ("service", "training")
        for path in (ROOT / package).rglob("*.py")
    }

    assert modules <= names
    assert {f"training/recipes/{name}.toml" for name in shipped_recipe_names()} <= names
    assert {"training/report/page.html", "training/py.typed", "service/py.typed"} <= names


def test_what_writes_the_projects_own_documents_is_not_in_the_wheel(names: set[str]) -> None:
    assert not [name for name in names if "results" in name or "gallery" in name]
