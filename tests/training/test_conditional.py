"""Conditional models: conditions in training, in graphs, in the manifest."""

from contextlib import nullcontext

import numpy as np
import pytest

from service.bundle.manifest import DECODER
from service.bundle.storage import Bundle, read_bundle
from service.catalog.verification import open_verified_sessions
from service.inference.autoencoder import Autoencoder
from service.inference.chained_graph import with_chain
from service.inference.graphs import direct_graphs
from service.inference.session import Session, SessionOptions
from service.operations.direct import run_directly
from service.operations.sample import SampleOptions
from service.operations.table import SAMPLE
from tests.training.tiny_recipes import (
    CATEGORIES,
    KINDS,
    NoProgress,
    tiny_autoencoder,
    tiny_graphs,
    tiny_recipe,
)
from training.errors import RecipeError
from training.export.conversion import export_graph
from training.networks.layers import ConditionJoin
from training.pipeline import export_model, publish_model, train_model
from training.recipe.files import parse_recipe
from training.tensors import to_numpy

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LABELS = np.array([[2.0], [0.0]], np.float32)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A conditional model of the real digits, trained shortly and published with waived gates."""
    folder = tmp_path_factory.mktemp("conditional")
    fields = {
        **tiny_recipe("conditional").to_json(),
        "name": "tiny-conditional",
        "data": {
            "dataset": "digits",
            "validation_rows": 200,
            "calibration_rows": 200,
            "test_rows": 200,
            "conditions": "class",
        },
        "code_density": {"components": [1]},
    }
    recipe = parse_recipe(fields, "tiny-conditional")
    model = train_model(recipe, folder / "runs", nullcontext(NoProgress()))
    exported = export_model(model)
    publication = publish_model(model, exported, folder, folder / "refused", "trained for a test")
    return read_bundle(publication.location)


def test_a_condition_joins_flat_features_one_hot() -> None:
    joined = to_numpy(ConditionJoin(CATEGORIES)(np.array([[0.5, 0.25], [0.75, 1.0]]), LABELS))
    np.testing.assert_array_equal(joined, [[0.5, 0.25, 0, 0, 1], [0.75, 1.0, 1, 0, 0]])


def test_a_condition_joins_images_as_channels() -> None:
    images = np.full((2, 4, 4, 1), 0.5, np.float32)
    joined = to_numpy(ConditionJoin(CATEGORIES)(images, LABELS))
    assert joined.shape == (2, 4, 4, 1 + CATEGORIES)
    np.testing.assert_array_equal(joined[0, 3, 1], [0.5, 0, 0, 1])
    np.testing.assert_array_equal(joined[1, 0, 2], [0.5, 1, 0, 0])


def test_every_graph_takes_conditions_of_one_value_a_row() -> None:
    for graph in tiny_graphs("conditional", tiny_autoencoder("conditional")):
        assert [spec.name for spec in graph.signature.inputs][1:] == ["conditions"]
        assert graph.signature.inputs[1].shape == (1,)


def test_a_graph_whose_network_has_no_condition_layer_takes_no_conditions() -> None:
    model = KINDS["conditional"]["model"]
    autoencoder = tiny_autoencoder("conditional", model={**model, "encoder": model["encoder"][1:]})
    taken = {
        graph.name: len(graph.signature.inputs) for graph in tiny_graphs("conditional", autoencoder)
    }
    assert taken == {"encoder": 1, "decoder": 2, "scorer-reconstruction-error": 2}


def test_the_same_code_decodes_to_another_row_under_another_condition() -> None:
    autoencoder = tiny_autoencoder("conditional")
    decoder = next(
        graph for graph in tiny_graphs("conditional", autoencoder) if graph.name == DECODER
    )
    session = Session(export_graph(decoder), decoder.signature)
    (outputs,) = session.run(np.zeros((CATEGORIES, 2), np.float32), _every_category())
    assert np.ptp(outputs, axis=0).max() > 0.01


@pytest.mark.slow
def test_the_manifest_names_the_label_with_integers_for_digits(published: Bundle) -> None:
    assert published.manifest.conditions is not None
    (label,) = published.manifest.conditions
    assert (label.name, label.type, label.vocabulary) == ("label", "categorical", tuple(range(10)))


@pytest.mark.slow
def test_the_published_bundle_verifies_and_samples_by_condition(
    published: Bundle,
) -> None:
    sessions, deviation = open_verified_sessions(published, SessionOptions())
    assert deviation < 1e-6
    served = Autoencoder(published, direct_graphs(with_chain(sessions)))
    drawn = [
        run_directly(
            SAMPLE,
            served,
            conditions=np.full((3, 1), digit, np.float32),
            options=SampleOptions(3, seed=1),
        )
        for digit in (0, 1)
    ]
    np.testing.assert_array_equal(drawn[0].codes, drawn[1].codes)
    assert np.abs(drawn[0].samples - drawn[1].samples).max() > 0.01


def test_condition_layers_and_conditions_in_the_data_need_each_other() -> None:
    conditional = KINDS["conditional"]
    with pytest.raises(RecipeError, match=r"data\.conditions and condition layers"):
        tiny_recipe("conditional", data={})
    with pytest.raises(RecipeError, match=r"data\.conditions and condition layers"):
        tiny_recipe("variational", data=conditional["data"])


def _every_category() -> np.ndarray:
    return np.arange(CATEGORIES, dtype=np.float32)[:, np.newaxis]
