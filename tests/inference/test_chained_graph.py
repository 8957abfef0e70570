"""A chain of graphs gives what its graphs give one after the other."""

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from service.bundle.storage import BundleLocation, read_bundle
from service.catalog.verification import open_verified_sessions
from service.errors import InferenceFailed, NonFiniteResult
from service.inference.chained_graph import CHAIN, ChainedGraph, with_chain
from service.inference.session import Session, SessionOptions
from service.operations.direct import run_directly
from service.operations.table import RECONSTRUCT
from tests.bundles import LABELLED, STAMP, TINY_MODELS, TinyModel
from tests.graphs import LOOKUP, LOOKUP_SIGNATURE, Array, copying, graph, lookup, signature
from tests.operations.opened import open_tiny


def sessions_of(models_dir: Path, model: TinyModel) -> dict[str, Session]:
    bundle = read_bundle(BundleLocation(model.name, 1, models_dir / model.name / "1"))
    return open_verified_sessions(bundle, SessionOptions(threads=1))[0]


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_the_chain_gives_outputs_and_then_codes(tiny_models_dir: Path, model: TinyModel) -> None:
    sessions = sessions_of(tiny_models_dir, model)
    rows = model.rows(5)
    inputs = [rows]
    if model is LABELLED:
        inputs.append(np.arange(5, dtype=np.float32).reshape(-1, 1) % 3)

    outputs, *between = with_chain(sessions)[CHAIN].run(*inputs)

    encoded = sessions["encoder"].run(*inputs)
    (decoded,) = sessions["decoder"].run(encoded[0], *inputs[1:])
    assert np.array_equal(outputs, decoded)
    assert len(between) == len(encoded) == 1 + model.variational
    for found, expected in zip(between, encoded, strict=True):
        assert np.array_equal(found, expected)


def test_a_bundle_without_a_decoder_has_no_chain(tiny_models_dir: Path) -> None:
    sessions = sessions_of(tiny_models_dir, STAMP)
    del sessions["decoder"]

    assert with_chain(sessions) == sessions


def test_a_later_graph_takes_what_it_takes_besides_by_name() -> None:
    names = {"inputs": (2,), "other": (2,)}
    adding = graph(
        [helper.make_node("Add", ["inputs", "other"], ["outputs"])],
        {name: ("batch", *shape) for name, shape in names.items()},
        {"outputs": ("batch", 2)},
    )
    copy = Session(
        copying(("batch", 2), ("batch", 2)), signature({"inputs": (2,)}, {"outputs": (2,)})
    )
    chain = ChainedGraph(copy, Session(adding, signature(names, {"outputs": (2,)})))
    rows: Array = np.array([[0.0, 1.0], [2.0, 2.0]], np.float32)
    other: Array = np.full((2, 2), 0.5, np.float32)

    outputs, between = chain.run(rows, other)

    assert [tensor.name for tensor in chain.inputs] == ["inputs", "other"]
    assert np.array_equal(outputs, rows + 0.5)
    assert np.array_equal(between, rows)


def test_stopping_a_chain_stops_each_of_its_graphs() -> None:
    chain = ChainedGraph(Session(LOOKUP, LOOKUP_SIGNATURE), Session(LOOKUP, LOOKUP_SIGNATURE))
    rows: Array = np.array([[0.0, 1.0]], np.float32)
    assert np.array_equal(
        chain.run_and_release_memory(np.zeros((1, 2), np.float32))[1],
        lookup(np.zeros((1, 2), np.float32)),
    )
    chain.stop()

    with pytest.raises(InferenceFailed):
        chain.run(rows)


def test_codes_that_overflow_are_rejected_though_the_outputs_do_not_show_it(
    tiny_models_dir: Path,
) -> None:
    rows = STAMP.rows(3)
    rows[1] = np.finfo(np.float32).max * np.sign(STAMP.encoding[:, :1]).reshape(6, 4, 1)

    with pytest.raises(NonFiniteResult, match="1 of 3 rows overflow") as rejected:
        run_directly(RECONSTRUCT, open_tiny(tiny_models_dir, STAMP), rows)

    assert [error.pointer for error in rejected.value.field_errors] == ["/inputs/1"]
