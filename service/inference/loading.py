"""From a folder to a model that is ready to answer."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from service.bundle.manifest import GOLDEN_FILE, Manifest
from service.bundle.storage import BundleLocation, read_bundle
from service.inference.autoencoder import Autoencoder
from service.inference.batching import Meter, QueuedGraph
from service.inference.session import Session, SessionOptions
from service.inference.verification import golden_inputs, open_verified_sessions
from service.inference.warmup import BatchCosts, measure_batch_costs

# A hand-over to a thread and back, and the wait of everything else on the event loop meanwhile,
# are worth it only for runs that take longer than this.
LONGEST_INLINE_SECONDS = 0.0015


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A verified version, ready to answer.

    Attributes:
        location: Where its bundle lies.
        autoencoder: The calls.
        queues: The queue in front of each graph.
        costs: What a run of each graph costs here, by rows.
        provider: The provider that really runs it.
        golden_deviation: Largest deviation from its golden vectors on that provider.
        load_seconds: Time it took to read, verify and warm it.
    """

    location: BundleLocation
    autoencoder: Autoencoder
    queues: Mapping[str, QueuedGraph]
    costs: Mapping[str, BatchCosts]
    provider: str
    golden_deviation: float
    load_seconds: float

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
        """What the bundle says about itself."""
        return self.autoencoder.manifest


@dataclass(frozen=True)
class LoadOptions:
    """How bundles become models.

    Attributes:
        session: Provider and threads of one run of a graph.
        threads: Batches of one graph that may run at the same time.
        max_batch_rows: Most rows of one run of a graph.
        max_queue_rows: Most rows that may wait for a graph.
        meter: Makes what is told of the runs of a graph, by model, version and graph.
    """

    session: SessionOptions
    threads: int = 1
    max_batch_rows: int = 256
    max_queue_rows: int = 65_536
    meter: Callable[[str, int, str], Meter] | None = None


def load_model(location: BundleLocation, options: LoadOptions, executor: Executor) -> LoadedModel:
    """Read a bundle, prove that it is sound, and make it ready to answer.

    Blocking. When this returns every graph has been run with batches of every size it will meet,
    and is queued with the limits that were measured.

    Args:
        location: Where the bundle lies.
        options: How its graphs are run.
        executor: Threads that batches run on.

    Raises:
        BundleError: The bundle is refused.
    """
    started = time.perf_counter()
    bundle = read_bundle(location)
    sessions, deviation = open_verified_sessions(bundle, options.session)
    golden = bundle.arrays(GOLDEN_FILE)
    costs = {
        name: measure_batch_costs(
            session, golden_inputs(name, session.signature, golden), options.max_batch_rows
        )
        for name, session in sessions.items()
    }
    queues = {
        name: _queued(session, costs[name], options, executor) for name, session in sessions.items()
    }
    if options.meter is not None:
        for name, queue in queues.items():
            queue.meter = options.meter(location.name, location.version, name)
    providers = {session.provider for session in sessions.values()}
    return LoadedModel(
        location=location,
        autoencoder=Autoencoder(bundle, queues),
        queues=queues,
        costs=costs,
        provider=" + ".join(sorted(providers)),
        golden_deviation=deviation,
        load_seconds=time.perf_counter() - started,
    )


def _queued(
    session: Session, costs: BatchCosts, options: LoadOptions, executor: Executor
) -> QueuedGraph:
    return QueuedGraph(
        session,
        executor,
        max_batch_rows=costs.largest_useful_batch,
        max_queue_rows=options.max_queue_rows,
        max_exclusive_rows=options.max_batch_rows,
        max_inline_rows=costs.rows_within(LONGEST_INLINE_SECONDS),
        max_running=options.threads,
    )
