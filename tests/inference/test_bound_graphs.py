"""Graphs on bound memory answer as they do without, whatever ran in that memory before."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bundle.storage import BundleLocation, read_bundle
from service.catalog.verification import open_verified_sessions
from service.errors import InferenceFailed, NonFiniteResult
from service.inference.autoencoder import Autoencoder
from service.inference.bound_graphs import BoundGraphs, padded_rows
from service.inference.buffers import DeviceBuffer
from service.inference.chained_graph import bind_with_chain
from service.inference.graphs import direct_graphs
from service.inference.session import Session, SessionOptions
from service.operations.direct import run_directly
from service.operations.table import RECONSTRUCT
from service.request_context import RequestContext
from tests.bundles import LABELLED, PLANE, SCORE, STAMP, TINY_MODELS, WAVE, TinyModel
from tests.graphs import BAD_ROW, DROPPING, LOOKUP, LOOKUP_SIGNATURE, lookup, lookup_rows, signature

TOLERANCE = 1e-6
NAMES = [model.name for model in TINY_MODELS]


def sessions_of(models_dir: Path, model: TinyModel) -> dict[str, Session]:
    bundle = read_bundle(BundleLocation(model.name, 1, models_dir / model.name / "1"))
    return open_verified_sessions(bundle, SessionOptions(threads=1))[0]


def inputs_of(model: TinyModel, count: int, seed: int = 0) -> list[np.ndarray]:
    conditions = np.arange(count, dtype=np.float32).reshape(-1, 1) % 3
    return [model.rows(count, seed), *([conditions] if model is LABELLED else [])]


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    bound = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    assert float(np.abs(found - expected).max()) <= bound


@pytest.mark.parametrize(
    ("rows", "padded"),
    [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (31, 32), (32, 32), (33, 64), (1000, 1024)],
)
def test_rows_are_padded_to_the_next_power_of_two(rows: int, padded: int) -> None:
    assert padded_rows(rows) == padded


@pytest.mark.parametrize("model", TINY_MODELS, ids=NAMES)
def test_every_graph_answers_as_it_does_without(tiny_models_dir: Path, model: TinyModel) -> None:
    sessions = sessions_of(tiny_models_dir, model)
    for name in ("encoder", f"scorer-{SCORE}"):
        bound = BoundGraphs(sessions[name])
        assert bound.inputs == sessions[name].signature.inputs
        for count in (5, 1, 3, 8, 7):
            inputs = inputs_of(model, count, seed=count)
            expected = sessions[name].run(*inputs)
            for found, values in zip(bound.run(*inputs), expected, strict=True):
                assert_close(found, values)


@pytest.mark.parametrize("model", TINY_MODELS, ids=NAMES)
def test_joined_graphs_answer_what_they_do_one_by_one(
    tiny_models_dir: Path, model: TinyModel
) -> None:
    sessions = sessions_of(tiny_models_dir, model)
    bound = BoundGraphs(sessions["encoder"], sessions["decoder"])
    inputs = inputs_of(model, 5)

    outputs, *between = bound.run(*inputs)

    encoded = sessions["encoder"].run(*inputs)
    (decoded,) = sessions["decoder"].run(encoded[0], *inputs[1:])
    assert_close(outputs, decoded)
    assert len(between) == len(encoded) == 1 + model.variational
    for found, values in zip(between, encoded, strict=True):
        assert_close(found, values)


def test_what_passes_between_graphs_stays_where_they_compute(
    tiny_models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the rows go in; codes are read at the end, for the infinities they may hold."""
    sessions = sessions_of(tiny_models_dir, STAMP)
    bound = BoundGraphs(sessions["encoder"], sessions["decoder"])
    copies: list[str] = []
    fill, read = DeviceBuffer.fill, DeviceBuffer.read

    def counted_fill(self: DeviceBuffer, numbers: np.ndarray) -> None:
        copies.append(f"to {numbers.shape}")
        fill(self, numbers)

    def counted_read(self: DeviceBuffer) -> np.ndarray:
        numbers = read(self)
        copies.append(f"from {numbers.shape}")
        return numbers

    monkeypatch.setattr(DeviceBuffer, "fill", counted_fill)
    monkeypatch.setattr(DeviceBuffer, "read", counted_read)
    bound.run(STAMP.rows(3))

    assert copies == ["to (4, 6, 4, 1)", "from (4, 2)"]


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_what_ran_before_does_not_show(sizes: list[int], seed: int) -> None:
    bound = BoundGraphs(Session(LOOKUP, LOOKUP_SIGNATURE))
    batches = [lookup_rows(size, seed + number) for number, size in enumerate(sizes)]

    answers = [bound.run(rows)[0] for rows in batches]

    for rows, answer in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(answer, lookup(rows))
    for size, lanes in bound._lanes.items():
        assert size in {padded_rows(rows) for rows in sizes}
        assert len(lanes) == 1  # one after the other, in the same memory


def test_nothing_of_a_batch_stays_in_the_padding_of_the_next() -> None:
    bound = BoundGraphs(Session(LOOKUP, LOOKUP_SIGNATURE))
    bound.run(np.full((4, 2), 3, np.float32))
    bound.run(np.full((3, 2), 2, np.float32))

    (lane,) = bound._lanes[4]
    staging, device = lane.inputs[0]
    for numbers in (staging.numbers, device.read()):
        np.testing.assert_array_equal(numbers, [[2, 2], [2, 2], [2, 2], [0, 0]])


def test_threads_at_once_each_get_their_own_answer_and_memory() -> None:
    bound = BoundGraphs(Session(LOOKUP, LOOKUP_SIGNATURE))
    batches = [lookup_rows(1 + seed % 9, seed) for seed in range(400)]

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda rows: bound.run(rows)[0], batches))

    for rows, answer in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(answer, lookup(rows))
    assert all(1 <= len(lanes) <= 4 for lanes in bound._lanes.values())


def test_a_failure_concerns_its_own_run_alone() -> None:
    bound = BoundGraphs(Session(LOOKUP, LOOKUP_SIGNATURE))
    rows = lookup_rows(1)
    bound.run(rows)

    with pytest.raises(InferenceFailed, match=r"^lookup\.onnx: "):
        bound.run(BAD_ROW)

    assert not bound._lanes[1]  # memory in an unknown state is not used again
    np.testing.assert_array_equal(bound.run(rows)[0], lookup(rows))


def test_a_graph_that_does_not_give_one_row_per_row_fails() -> None:
    session = Session(DROPPING, signature({"inputs": (3,)}, {"outputs": (3,)}, "drops.onnx"))
    rows = np.array([[1, 1, 1], [-1, -1, -1]], np.float32)

    with pytest.raises(InferenceFailed, match=r"^drops\.onnx: "):
        BoundGraphs(session).run(rows)


def bound_autoencoder(models_dir: Path, model: TinyModel) -> Autoencoder:
    bundle = read_bundle(BundleLocation(model.name, 1, models_dir / model.name / "1"))
    sessions, _ = open_verified_sessions(bundle, SessionOptions(threads=1))
    return Autoencoder(bundle, direct_graphs(bind_with_chain(sessions)))


@pytest.mark.parametrize("model", [PLANE, STAMP, WAVE, LABELLED], ids=lambda model: model.name)
def test_reconstructions_take_the_bound_chain(tiny_models_dir: Path, model: TinyModel) -> None:
    inputs = inputs_of(model, 300)
    context = RequestContext()

    found = run_directly(
        RECONSTRUCT, bound_autoencoder(tiny_models_dir, model), *inputs, context=context
    )

    expected = model.reconstruct(*inputs)
    bound = 1e-5 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(found.reconstructions, expected, rtol=0, atol=bound)
    assert context.inference_seconds > 0


def test_codes_that_overflow_are_rejected_though_the_outputs_do_not_show_it(
    tiny_models_dir: Path,
) -> None:
    rows = STAMP.rows(3)
    rows[1] = np.finfo(np.float32).max * np.sign(STAMP.encoding[:, :1]).reshape(6, 4, 1)

    with pytest.raises(NonFiniteResult, match="1 of 3 rows overflow") as rejected:
        run_directly(RECONSTRUCT, bound_autoencoder(tiny_models_dir, STAMP), rows)

    assert [error.pointer for error in rejected.value.field_errors] == ["/inputs/1"]
