"""What every test may use: tiny bundles published once, and hypothesis without deadlines."""

import logging
from collections.abc import Iterator
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


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Put the loggers that the service configures back as they were."""
    loggers = [
        logging.getLogger(name) for name in (None, "uvicorn", "uvicorn.error", "uvicorn.access")
    ]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
