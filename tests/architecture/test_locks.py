"""The lock files are complete, agree with each other and with pyproject.toml, and name no place."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = PROJECT["dependency-groups"]["build"]
DEPENDENCIES = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCKS = {
    "service": [*BUILD, *DEPENDENCIES],
    "train": [*BUILD, *DEPENDENCIES, *EXTRAS["train"]],
    "dev": [*BUILD, *DEPENDENCIES, *EXTRAS["train"], *EXTRAS["test"], *EXTRAS["dev"]],
    "lowest": [*BUILD, *DEPENDENCIES, *EXTRAS["test"]],
    "gpu": [
        *BUILD,
        *(line for line in DEPENDENCIES if Requirement(line).name != "onnxruntime"),
        *EXTRAS["gpu"],
    ],
}
TRAINING_ONLY = {"keras", "onnx", "scikit-learn", "scipy", "tensorflow", "tf2onnx"}
DEVELOPMENT_ONLY = {"hypothesis", "pyright", "pytest", "ruff", "schemathesis", "sphinx"}


def text_of(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text()


def pins_of(lock: str) -> dict[str, str]:
    """Name and version of everything that ``lock`` installs."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", text_of(lock), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_declared_dependency_is_locked_at_a_version_it_allows(lock: str) -> None:
    pins = pins_of(lock)

    for requirement in map(Requirement, LOCKS[lock]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_that_is_installed_has_a_digest(lock: str) -> None:
    entries = re.findall(r"^[A-Za-z0-9].*(?:\n    .*)*", text_of(lock), re.MULTILINE)

    assert len(entries) == len(pins_of(lock))
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_place(lock: str) -> None:
    code = [line for line in text_of(lock).splitlines() if not line.lstrip().startswith("#")]

    assert [line for line in code if "/" in line or line.startswith("-")] == []
    assert "://" not in text_of(lock)


def test_the_locks_agree_on_every_version() -> None:
    reference = pins_of("dev")

    for lock in ("service", "train", "gpu"):
        shared = {name: pin for name, pin in pins_of(lock).items() if name in reference}
        assert shared == {name: reference[name] for name in shared}


def test_serving_installs_nothing_of_training_or_development() -> None:
    for lock in ("service", "gpu"):
        assert not set(pins_of(lock)) & (TRAINING_ONLY | DEVELOPMENT_ONLY)
    assert set(pins_of("train")) >= TRAINING_ONLY
    assert set(pins_of("dev")) >= DEVELOPMENT_ONLY


def test_the_lowest_lock_installs_the_lower_bound_of_every_dependency() -> None:
    pins = pins_of("lowest")

    for requirement in map(Requirement, LOCKS["lowest"]):
        bounds = [part for part in requirement.specifier if part.operator == ">="]
        assert [Version(part.version) for part in bounds] == [
            Version(pins[canonicalize_name(requirement.name)])
        ]


def test_the_gpu_lock_has_one_onnxruntime() -> None:
    pins = pins_of("gpu")

    assert "onnxruntime" not in pins
    assert pins["onnxruntime-gpu"] == pins_of("service")["onnxruntime"]
