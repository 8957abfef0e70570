"""Examples in docstrings are run as written."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "training").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


def test_there_are_examples() -> None:
    assert len(MODULES) >= 4


@pytest.mark.parametrize("name", MODULES)
def test_an_example_returns_what_it_shows(name: str) -> None:
    module = import_module(name)
    tests = [test for test in doctest.DocTestFinder().find(module) if test.examples]

    results = [doctest.DocTestRunner().run(test) for test in tests]

    assert results
    assert sum(result.failed for result in results) == 0
