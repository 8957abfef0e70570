"""Loading a bundle: what is measured and set reaches the queues of its graphs."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.bundle.manifest import DECODER, ENCODER
from service.bundle.storage import BundleLocation
from service.catalog import loading
from service.catalog.loading import LoadOptions, load_model
from service.errors import BundleFileCorrupted, Draining, QueueFull
from service.inference.bound_graphs import BoundGraphs
from service.inference.chained_graph import CHAIN, ChainedGraph
from service.inference.session import Session, SessionOptions
from service.inference.warmup import BatchCosts
from service.operations.sample import SampleOptions
from service.operations.table import ENCODE, RECONSTRUCT, SAMPLE
from tests.bundles import LABELLED, PLANE, SCORE, TinyModel, publish_tiny
from tests.operations.opened import start

GRAPHS = {"encoder", "decoder", CHAIN, f"scorer-{SCORE}"}


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def options(**limits: Any) -> LoadOptions:
    return LoadOptions(SessionOptions("cpu", threads=1), **limits)


@pytest.fixture
def location(tiny_models_dir: Path) -> BundleLocation:
    return BundleLocation("plane", 1, tiny_models_dir / "plane" / "1")


def test_every_graph_is_measured_up_to_the_largest_batch_and_queued(
    location: BundleLocation, executor: ThreadPoolExecutor
) -> None:
    model = load_model(location, options(max_batch_rows=32, max_queue_rows=77), executor)

    assert set(model.costs) == set(model.queues) == GRAPHS
    for name, queue in model.queues.items():
        costs = model.costs[name]
        assert list(costs.seconds_by_rows) == [1, 2, 4, 8, 16, 32]
        assert queue.limits.max_batch_rows == costs.largest_efficient_batch
        assert queue.limits.efficient_rows == costs.smallest_efficient_batch
        assert queue.limits.max_inline_rows == costs.rows_within(0.0015)
        assert queue.limits.max_exclusive_rows == 32
        assert queue.limits.max_queue_rows == 77


@pytest.mark.parametrize("model", [PLANE, LABELLED], ids=["plane", "labelled"])
async def test_bound_graphs_are_measured_and_queued_with_encoder_and_decoder_as_one(
    tiny_models_dir: Path, executor: ThreadPoolExecutor, model: TinyModel
) -> None:
    location = BundleLocation(model.name, 1, tiny_models_dir / model.name / "1")
    session = SessionOptions("cpu", threads=1, bound=True)
    loaded = load_model(location, LoadOptions(session, max_batch_rows=32), executor)
    rows = model.rows(77)
    conditions = np.ones((77, 1), np.float32) if model is LABELLED else None

    found = await start(RECONSTRUCT, loaded.autoencoder, rows, conditions)

    assert set(loaded.costs) == set(loaded.queues) == GRAPHS
    assert list(loaded.costs[CHAIN].seconds_by_rows) == [1, 2, 4, 8, 16, 32]
    assert all(isinstance(queue.runnable, BoundGraphs) for queue in loaded.queues.values())
    assert loaded.provider == "cpu"
    np.testing.assert_allclose(
        found.reconstructions, model.reconstruct(rows, conditions), rtol=0, atol=1e-5
    )


def test_on_the_cpu_graphs_run_plainly(
    location: BundleLocation, executor: ThreadPoolExecutor
) -> None:
    model = load_model(location, options(), executor)

    assert {type(queue.runnable) for queue in model.queues.values()} == {Session, ChainedGraph}


def test_every_provider_that_runs_a_node_is_reported_the_one_asked_for_first() -> None:
    graph = SimpleNamespace(provider="cuda", nodes={"cpu": 2, "cuda": 5})
    wholly = SimpleNamespace(provider="cuda", nodes={"cuda": 5})

    assert loading._providers_used({"encoder": wholly}) == ["cuda"]  # pyright: ignore[reportArgumentType]  # no GPU to open one on
    assert loading._providers_used({"encoder": wholly, "decoder": graph}) == ["cuda", "cpu"]  # pyright: ignore[reportArgumentType]


async def test_batches_and_samples_are_cut_at_their_own_limits(
    location: BundleLocation, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        loading, "measure_batch_costs", lambda *_: BatchCosts({1: 1.0, 2: 1.0, 4: 2.0})
    )
    model = load_model(location, options(max_batch_rows=6, max_queue_rows=20), executor)
    sizes: list[int] = []
    for name in (ENCODER, DECODER):
        queue = model.queues[name]
        run = queue.runnable.run
        monkeypatch.setattr(
            queue.runnable,
            "run",
            lambda *inputs, run=run, **stop: sizes.append(len(inputs[0])) or run(*inputs, **stop),
        )
    rows = PLANE.rows(5)
    encoding = await start(ENCODE, model.autoencoder, rows)
    assert np.allclose(encoding.codes, PLANE.encode(rows), atol=1e-5)
    assert sizes == [4, 1]

    sizes.clear()
    await start(SAMPLE, model.autoencoder, options=SampleOptions(20, seed=1))
    assert sizes == [6, 6, 6, 2]
    with pytest.raises(QueueFull, match="limit of 20"):
        await start(SAMPLE, model.autoencoder, options=SampleOptions(21, seed=1))


async def test_as_many_batches_run_side_by_side_as_there_are_threads(
    location: BundleLocation, executor: ThreadPoolExecutor
) -> None:
    model = load_model(location, options(threads=2, max_batch_rows=4), executor)

    assert {queue.limits.max_running for queue in model.queues.values()} == {2}
    answers = await asyncio.gather(
        *(start(ENCODE, model.autoencoder, PLANE.rows(9, seed)) for seed in range(8))
    )
    for seed, answer in enumerate(answers):
        assert np.allclose(answer.codes, PLANE.encode(PLANE.rows(9, seed)), atol=1e-5)


def test_a_damaged_bundle_is_not_loaded(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    damaged = publish_tiny(tmp_path, PLANE, {"golden.npz": b"not an archive"})

    with pytest.raises(BundleFileCorrupted, match=r"^golden\.npz"):
        load_model(damaged, options(), executor)


async def test_a_drained_model_finishes_what_was_queued_and_takes_no_more(
    location: BundleLocation, executor: ThreadPoolExecutor
) -> None:
    model = load_model(location, options(max_batch_rows=4), executor)
    rows = PLANE.rows(50)
    queued = asyncio.ensure_future(start(ENCODE, model.autoencoder, rows))
    await asyncio.sleep(0)
    await model.drain()

    assert np.allclose((await queued).codes, PLANE.encode(rows), atol=1e-5)
    for operation in (ENCODE, RECONSTRUCT):
        with pytest.raises(Draining):
            await start(operation, model.autoencoder, rows)


async def test_a_closed_model_has_no_caches(
    location: BundleLocation, executor: ThreadPoolExecutor
) -> None:
    model = load_model(location, options(), executor)
    model.caches["of a test"] = 1
    await model.close()

    assert model.caches == {}
