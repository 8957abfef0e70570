"""Small recipes on scikit-learn's digits, and one model of them trained once for all tests."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.training.recipes import NoProgress, digits_recipe
from training.export.exported_model import ExportedModel
from training.fitting.trained_model import TrainedModel
from training.pipeline import Publication, export_model, publish_model, train_model
from training.recipe.recipe import Recipe


@pytest.fixture
def no_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the data folder and the cache of whoever runs the tests out of this one."""
    monkeypatch.delenv("LATENTSERVE_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return digits_recipe()


@pytest.fixture(scope="session")
def trained(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A denoising autoencoder of digits, to be read and never changed."""
    return train_model(recipe, tmp_path_factory.mktemp("runs"), nullcontext(NoProgress()))


@pytest.fixture(scope="session")
def exported(trained: TrainedModel) -> ExportedModel:
    return export_model(trained)


@pytest.fixture(scope="session")
def publication(
    trained: TrainedModel, exported: ExportedModel, tmp_path_factory: pytest.TempPathFactory
) -> Publication:
    models_dir, refusals_dir = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("runs")
    return publish_model(trained, exported, models_dir, refusals_dir, allow="trained for a test")
