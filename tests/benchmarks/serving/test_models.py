"""Every subject gets the same model: the joined graph says what encoder and decoder say."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving.loads import DENSE, LOADS, RECONSTRUCT, SCORE, example_rows
from benchmarks.serving.models import ServedModel, prepare_models
from service.bundle.storage import find_bundles, read_bundle
from service.inference.session import Session


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    folder = tmp_path_factory.mktemp("served")
    (model,) = prepare_models({DENSE}, folder, folder)
    return model


def test_loads_have_names_of_their_own() -> None:
    assert len({load.key for load in LOADS}) == len({load.title for load in LOADS}) == len(LOADS)


def test_the_joined_graph_is_the_decoder_after_the_encoder(dense: ServedModel) -> None:
    (location,) = find_bundles(dense.models_dir)
    bundle = read_bundle(location)
    rows = example_rows(7, dense.row_shape)
    for name in ("encoder", "decoder"):
        rows = Session(bundle.graph(name), bundle.manifest.graphs[name]).run(rows)[0]
    found = dense.direct(RECONSTRUCT)(example_rows(7, dense.row_shape))
    assert np.abs(found - rows).max() <= 1e-6


def test_its_score_is_the_mean_squared_difference(dense: ServedModel) -> None:
    rows = example_rows(5, dense.row_shape)
    differences = dense.direct(RECONSTRUCT)(rows) - rows
    assert dense.direct(SCORE)(rows) == pytest.approx((differences**2).mean(axis=1), rel=1e-5)


def test_a_missing_convolutional_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="fashion-denoiser"):
        prepare_models({"conv"}, tmp_path, tmp_path)
