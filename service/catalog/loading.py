"""Loads a bundle: reads, verifies, measures and queues its graphs."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from service.arrays import FloatArray
from service.bundle.manifest import DECODER, ENCODER, GOLDEN_FILE, Manifest
from service.bundle.storage import MAX_BUNDLE_BYTES, BundleLocation, read_bundle
from service.catalog.use_count import UseCount
from service.catalog.verification import (
    check_rows_independent,
    golden_inputs,
    open_verified_sessions,
)
from service.errors import BundleFileCorrupted
from service.inference.autoencoder import Autoencoder
from service.inference.batching.gathering import BatchLimits
from service.inference.batching.queued_graph import Meter, QueuedGraph
from service.inference.bound_graphs import BoundGraphs
from service.inference.chained_graph import CHAIN, bind_with_chain, with_chain
from service.inference.session import (
    Runnable,
    Session,
    SessionOptions,
)
from service.inference.warmup import BatchCosts, measure_batch_costs

# Running on a thread costs two switches and lets everything else on the event loop go on: worth it
# for runs that take longer than this.
MAX_INLINE_SECONDS = 0.0015


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A verified version, ready to answer.

    Attributes:
        location: Where its bundle lies.
        autoencoder: Runs the calls.
        queues: The queue in front of each graph.
        costs: Seconds of a run of each graph on this machine, by rows.
        provider: The provider that really runs it, and others that run some of its nodes.
        golden_deviation: Largest deviation from its golden vectors on that provider.
        load_seconds: Time it took to read, verify and warm it.
        in_use: Entered while a request uses the model, in the turn of the event loop in which it
            was resolved: ``with model.in_use:``.
        caches: What is computed once for the model and kept as long as it is loaded, by a key that
            begins with the function that computes it.
    """

    location: BundleLocation
    autoencoder: Autoencoder
    queues: Mapping[str, QueuedGraph]
    costs: Mapping[str, BatchCosts]
    provider: str
    golden_deviation: float
    load_seconds: float
    in_use: UseCount = field(default_factory=UseCount)
    caches: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any])

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.location.name

    @property
    def version(self) -> int:
        """Version of the model."""
        return self.location.version

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.autoencoder.manifest

    async def drain(self) -> None:
        """Return when no request uses the model and everything that was queued has run.

        Call it when requests cannot find the model any more.
        """
        await self.in_use.wait_until_unused()
        for queue in self.queues.values():
            await queue.drain()

    async def close(self) -> None:
        """Take no more rows, end what runs, fail what waits, and drop the caches."""
        for queue in self.queues.values():
            await queue.close()
        self.caches.clear()


@dataclass(frozen=True)
class LoadOptions:
    """How bundles are loaded and their graphs run.

    Attributes:
        session: Provider and threads of one run of a graph.
        threads: Batches of one graph that may run at the same time.
        max_batch_rows: Maximum number of rows of one run of a graph.
        max_queue_rows: Maximum number of rows that wait for a graph.
        max_bundle_bytes: Maximum size of the files of a bundle together.
        max_queue_seconds: Time that a request is expected to wait for a graph at most.
        meter: Makes what records the runs of a graph, by model, version and graph.
    """

    session: SessionOptions
    threads: int = 1
    max_batch_rows: int = 256
    max_queue_rows: int = 65_536
    max_bundle_bytes: int = MAX_BUNDLE_BYTES
    max_queue_seconds: float = float("inf")
    meter: Callable[[str, int, str], Meter] | None = None


def load_model(
    location: BundleLocation,
    options: LoadOptions,
    executor: Executor,
    verified_digest: str | None = None,
) -> LoadedModel:
    """Read a bundle, verify it, and make it ready to answer.

    Blocking. When this returns, every graph has been run with batches of every size up to the
    largest, and is queued with the limits that were measured.

    Args:
        location: Where the bundle lies.
        options: How its graphs are run.
        executor: Threads that batches run on.
        verified_digest: Digest of the manifest of the bundle that another process has verified.
            Golden vectors are replayed here too, on the provider that serves.

    Raises:
        BundleError: The bundle is refused.
        InferenceFailed: A graph fails on a golden row, or does not give one row per row.
    """
    started = time.perf_counter()
    bundle = read_bundle(location, options.max_bundle_bytes)
    if verified_digest not in (None, bundle.manifest.digest):
        raise BundleFileCorrupted("the bundle was changed while it was verified; load it again")
    sessions, deviation = open_verified_sessions(bundle, options.session)
    if verified_digest is None or options.session.provider != "cpu":
        check_rows_independent(sessions, bundle, options.max_batch_rows)
    bound = options.session.runs_bound
    runnables = bind_with_chain(sessions) if bound else with_chain(sessions)
    costs = _measure(runnables, sessions, bundle.arrays(GOLDEN_FILE), options)
    queues = {
        name: QueuedGraph(runnable, executor, _limits(costs[name], options))
        for name, runnable in runnables.items()
    }
    if options.meter is not None:
        for name, queue in queues.items():
            queue.meter = options.meter(location.name, location.version, name)
    return LoadedModel(
        location=location,
        autoencoder=Autoencoder(bundle, queues),
        queues=queues,
        costs=costs,
        provider=" + ".join(_providers_used(sessions)),
        golden_deviation=deviation,
        load_seconds=time.perf_counter() - started,
    )


def _measure(
    runnables: Mapping[str, Runnable],
    sessions: Mapping[str, Session],
    golden: Mapping[str, np.ndarray],
    options: LoadOptions,
) -> dict[str, BatchCosts]:
    """Measure and warm up every graph; a chain that is not bound costs what its links cost."""
    rows = {
        name: golden_inputs(name, session.signature, golden) for name, session in sessions.items()
    }
    costs = {
        name: measure_batch_costs(runnable, rows[name], options.max_batch_rows)
        for name, runnable in runnables.items()
        if name != CHAIN
    }
    chain = runnables.get(CHAIN)
    if isinstance(chain, BoundGraphs):
        named = _by_name(sessions, rows)
        inputs = [named[tensor.name] for tensor in chain.inputs]
        costs[CHAIN] = measure_batch_costs(chain, inputs, options.max_batch_rows)
    elif chain is not None:
        costs[CHAIN] = costs[ENCODER].followed_by(costs[DECODER])
    return costs


def _by_name(
    sessions: Mapping[str, Session], rows: Mapping[str, Sequence[FloatArray]]
) -> dict[str, FloatArray]:
    """Name the golden rows of every input; the first graph's where several take the same."""
    return {
        tensor.name: array
        for name in reversed(list(sessions))
        for tensor, array in zip(sessions[name].signature.inputs, rows[name], strict=True)
    }


def _providers_used(sessions: Mapping[str, Session]) -> list[str]:
    """Name every provider that runs a node, the one that was asked for first."""
    asked = [session.provider for session in sessions.values()]
    taken = [name for session in sessions.values() for name in session.nodes]
    return list(dict.fromkeys(asked + taken))


def _limits(costs: BatchCosts, options: LoadOptions) -> BatchLimits:
    # A request is split only where its pieces run side by side, or where one run would be slower.
    alone = options.threads == 1
    return BatchLimits(
        max_batch_rows=costs.largest_efficient_batch if alone else costs.smallest_efficient_batch,
        efficient_rows=costs.smallest_efficient_batch,
        max_queue_rows=options.max_queue_rows,
        max_exclusive_rows=options.max_batch_rows,
        max_inline_rows=costs.rows_within(MAX_INLINE_SECONDS),
        max_running=options.threads,
        max_queue_seconds=options.max_queue_seconds,
        seconds_per_run=costs.seconds_per_run,
        seconds_per_row=costs.seconds_per_row,
    )
