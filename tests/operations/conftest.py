"""What several tests of operations use."""

from pathlib import Path

import pytest

from service.inference.autoencoder import Autoencoder
from tests.bundles import PLANE
from tests.operations.opened import open_tiny


@pytest.fixture
def plane(tiny_models_dir: Path) -> Autoencoder:
    return open_tiny(tiny_models_dir, PLANE)
