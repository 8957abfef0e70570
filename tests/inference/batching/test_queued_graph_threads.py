"""Which thread a batch runs on, and how many run at the same time."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.arrays import FloatArray
from service.inference.batching.gathering import BatchLimits
from service.inference.batching.queued_graph import QueuedGraph
from service.inference.session import RunStop, Session
from service.request_context import RequestContext
from tests.graphs import LOOKUP, LOOKUP_SIGNATURE, lookup, lookup_rows

pytestmark = pytest.mark.timeout(20)


class PlacedSession(Session):
    """A real session that remembers which thread ran each batch."""

    def __init__(self, parties: int = 0) -> None:
        super().__init__(LOOKUP, LOOKUP_SIGNATURE)
        self.threads: list[int] = []
        self.barrier = threading.Barrier(parties) if parties else None

    def run(self, *inputs: FloatArray, stop: RunStop | None = None) -> tuple[FloatArray, ...]:
        self.threads.append(threading.get_ident())
        if self.barrier is not None:
            self.barrier.wait(10)
        return super().run(*inputs, stop=stop)


async def test_a_batch_below_the_measured_cost_runs_on_the_event_loop() -> None:
    session = PlacedSession()
    with ThreadPoolExecutor(1) as executor:
        graph = QueuedGraph(
            session, executor, BatchLimits(max_batch_rows=8, max_queue_rows=100, max_inline_rows=4)
        )
        rows = lookup_rows(4)
        (answer,) = await graph.run(rows, context=RequestContext())

    assert np.array_equal(answer, lookup(rows))
    assert session.threads == [threading.get_ident()]


async def test_a_larger_batch_runs_on_a_thread() -> None:
    session = PlacedSession()
    with ThreadPoolExecutor(1) as executor:
        graph = QueuedGraph(
            session, executor, BatchLimits(max_batch_rows=8, max_queue_rows=100, max_inline_rows=4)
        )
        await graph.run(lookup_rows(5), context=RequestContext())

    assert len(session.threads) == 1
    assert session.threads != [threading.get_ident()]


async def test_requests_of_one_turn_count_together_towards_the_measured_cost() -> None:
    session = PlacedSession()
    with ThreadPoolExecutor(1) as executor:
        graph = QueuedGraph(
            session, executor, BatchLimits(max_batch_rows=8, max_queue_rows=100, max_inline_rows=4)
        )
        requests = [
            graph.run(lookup_rows(3, seed=seed), context=RequestContext()) for seed in range(2)
        ]
        await asyncio.gather(*requests)

    assert len(session.threads) == 1
    assert session.threads != [threading.get_ident()]


async def test_pieces_of_one_request_run_side_by_side_and_come_back_in_order() -> None:
    session = PlacedSession(parties=2)  # each run waits for another one beside it
    with ThreadPoolExecutor(2) as executor:
        graph = QueuedGraph(
            session, executor, BatchLimits(max_batch_rows=4, max_queue_rows=100, max_running=2)
        )
        rows = lookup_rows(16)
        context = RequestContext()
        (answer,) = await graph.run(rows, context=context)

    assert np.array_equal(answer, lookup(rows))
    assert len(session.threads) == 4
    assert context.inference_seconds > 0
