"""The examples in docstrings have the results that they state."""

import doctest
import importlib
import pkgutil

import pytest

from service import formats
from service.api import media_types

MODULES = [
    media_types.__name__,
    *(module.name for module in pkgutil.walk_packages(formats.__path__, "service.formats.")),
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
