"""What documents and workflows tell contributors to run is there, and is the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize(
    "document",
    ["README.md", "CONTRIBUTING.md", "examples/README.md", ".github/pull_request_template.md"],
)
def test_every_target_that_a_document_names_is_there(document: str) -> None:
    text = (ROOT / document).read_text()

    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= TARGETS


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_targets_and_pins_its_actions(workflow: Path) -> None:
    steps = [
        step
        for job in yaml.safe_load(workflow.read_text())["jobs"].values()
        for step in job["steps"]
    ]

    for step in steps:
        if "uses" in step:
            assert re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", step["uses"])
        else:
            make, target = step["run"].split()
            assert (make, target in TARGETS) == ("make", True)


def test_the_workflow_tests_every_python_that_is_allowed() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())
    prefix = "Programming Language :: Python :: "
    allowed = [
        classifier.removeprefix(prefix)
        for classifier in PROJECT["project"]["classifiers"]
        if classifier.startswith(prefix)
    ]

    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == allowed


def test_hooks_are_the_checks_and_download_nothing() -> None:
    hooks = [
        hook
        for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
        for hook in repository["hooks"]
    ]
    (recipe,) = re.findall(r"^check: .*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    checks = [
        line.replace("$(BIN)", ".venv/bin").replace("$(BUILD_SITE)", "make docs")
        for line in re.findall(r"^\t@(.*)", recipe, re.MULTILINE)
    ]

    assert {hook["language"] for hook in hooks} == {"system"}
    assert [
        hook["entry"]
        .removeprefix("env PYRIGHT_PYTHON_IGNORE_WARNINGS=1 ")
        .removesuffix(" --force-exclude")
        for hook in hooks
    ] == checks
