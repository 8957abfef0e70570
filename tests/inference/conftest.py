"""What several tests of inference use."""

from pathlib import Path

import pytest

from service.inference.autoencoder import Autoencoder
from tests.bundles import PLANE
from tests.inference.opened import open_tiny


@pytest.fixture
def plane(tiny_models_dir: Path) -> Autoencoder:
    return open_tiny(tiny_models_dir, PLANE)
