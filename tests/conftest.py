"""What every test may use: tiny bundles published once, and hypothesis without deadlines."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.bundles import TINY_MODELS, publish_tiny

# The machines that run the tests share their processors: how long an example takes says nothing.
settings.register_profile("latentserve", deadline=None, print_blob=True)
settings.load_profile("latentserve")


@pytest.fixture(scope="session")
def tiny_models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with version 1 of every tiny model, to be read and never changed."""
    folder = tmp_path_factory.mktemp("models")
    for model in TINY_MODELS:
        publish_tiny(folder, model)
    return folder
