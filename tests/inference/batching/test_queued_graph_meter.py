"""What a queue tells its meter is what happened."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.errors import InferenceFailed, QueueFull
from service.inference.batching.gathering import BatchLimits
from service.inference.batching.queued_graph import QueuedGraph
from service.inference.session import Session
from service.request_context import RequestContext
from tests.graphs import BAD_ROW, LOOKUP, LOOKUP_SIGNATURE, lookup_rows


class Notes:
    """A meter that keeps what it is told."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.seconds: list[float] = []
        self.depths: list[int] = []

    def set_queue_rows(self, rows: int) -> None:
        self.depths.append(rows)

    def record_run(self, rows: int, seconds: float) -> None:
        self.runs.append(rows)
        self.seconds.append(seconds)


@pytest.fixture(params=[0, 64], ids=["on a thread", "inline"])
def metered(request: pytest.FixtureRequest) -> tuple[QueuedGraph, Notes]:
    notes = Notes()
    graph = QueuedGraph(
        Session(LOOKUP, LOOKUP_SIGNATURE),
        ThreadPoolExecutor(1),
        BatchLimits(max_batch_rows=8, max_queue_rows=20, max_inline_rows=request.param),
    )
    graph.meter = notes
    return graph, notes


async def test_rows_are_counted_by_run_and_the_queue_ends_empty(
    metered: tuple[QueuedGraph, Notes],
) -> None:
    graph, notes = metered

    await asyncio.gather(
        *(graph.run(lookup_rows(rows), context=RequestContext()) for rows in (5, 3, 5))
    )

    assert sorted(notes.runs) == [5, 8]
    assert all(seconds > 0 for seconds in notes.seconds)
    assert notes.depths[:3] == [5, 8, 13]
    assert notes.depths[-1] == 0


async def test_refused_rows_never_wait(metered: tuple[QueuedGraph, Notes]) -> None:
    graph, notes = metered

    with pytest.raises(QueueFull):
        await graph.run(lookup_rows(21), context=RequestContext())

    assert (notes.runs, notes.depths) == ([], [])


async def test_a_cancelled_request_leaves_no_rows_waiting(
    metered: tuple[QueuedGraph, Notes],
) -> None:
    graph, notes = metered
    gone = asyncio.ensure_future(graph.run(lookup_rows(5), context=RequestContext()))
    gone.cancel()

    await graph.run(lookup_rows(2), context=RequestContext())

    assert notes.runs == [2]
    assert notes.depths[-1] == 0


async def test_only_runs_that_succeeded_are_counted(metered: tuple[QueuedGraph, Notes]) -> None:
    graph, notes = metered

    results = await asyncio.gather(
        graph.run(BAD_ROW, context=RequestContext()),
        graph.run(lookup_rows(3), context=RequestContext()),
        return_exceptions=True,
    )

    assert isinstance(results[0], InferenceFailed)
    assert notes.runs == [3]
