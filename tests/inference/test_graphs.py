"""Graphs without queues: the calls run to their end on the caller's thread."""

import asyncio

import numpy as np
import pytest

from service.arrays import FloatArray
from service.errors import InferenceFailed
from service.inference.graphs import DirectGraph, run_to_completion
from service.inference.session import RunStop, Session
from service.request_context import RequestContext
from tests.bundles import SCORE, STAMP, tiny_files, tiny_manifest
from tests.graphs import BAD_ROW, LOOKUP, LOOKUP_SIGNATURE, lookup, lookup_rows


class CountingSession(Session):
    """Remembers how many rows each run had."""

    def __init__(self, name: str = f"scorer-{SCORE}") -> None:
        signature = tiny_manifest(STAMP).graphs[name]
        super().__init__(tiny_files(STAMP)[signature.file], signature)
        self.batches: list[int] = []

    def run(self, *inputs: FloatArray, stop: RunStop | None = None) -> tuple[FloatArray, ...]:
        self.batches.append(len(inputs[0]))
        return super().run(*inputs, stop=stop)


@pytest.mark.parametrize(
    ("rows", "batches"), [(1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])]
)
def test_rows_run_at_most_so_many_at_a_time_and_come_back_in_order(
    rows: int, batches: list[int]
) -> None:
    session = CountingSession()
    inputs = STAMP.rows(rows)
    context = RequestContext()
    scores, feature_scores = run_to_completion(
        DirectGraph(session, max_batch_rows=10).run(inputs, context=context)
    )

    assert session.batches == batches
    assert np.allclose(scores, STAMP.score(inputs), atol=1e-5)
    assert np.allclose(feature_scores, (STAMP.reconstruct(inputs) - inputs) ** 2, atol=1e-5)
    assert context.inference_seconds > 0
    assert context.queue_seconds == 0


def test_times_add_up_over_the_graphs_of_one_request() -> None:
    context = RequestContext()
    graph = DirectGraph(CountingSession())
    run_to_completion(graph.run(STAMP.rows(1), context=context))
    once = context.inference_seconds
    run_to_completion(graph.run(STAMP.rows(1), context=context))

    assert context.inference_seconds > once


def test_an_error_comes_out_of_the_call_as_it_is() -> None:
    graph = DirectGraph(Session(LOOKUP, LOOKUP_SIGNATURE))

    with pytest.raises(InferenceFailed, match=r"lookup\.onnx"):
        run_to_completion(graph.run(BAD_ROW, context=RequestContext()))


def test_a_call_over_several_direct_graphs_finishes_in_one_step() -> None:
    graph = DirectGraph(Session(LOOKUP, LOOKUP_SIGNATURE))
    rows = lookup_rows(4)

    async def call() -> tuple[FloatArray, FloatArray]:
        (first,) = await graph.run(rows, context=RequestContext())
        (second,) = await graph.run(rows[::-1].copy(), context=RequestContext())
        return first, second

    first, second = run_to_completion(call())
    assert np.array_equal(first, lookup(rows))
    assert np.array_equal(second, lookup(rows)[::-1])


def test_a_call_that_waits_is_refused_and_closed() -> None:
    closed: list[bool] = []

    async def call() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="waits for an event loop"):
        run_to_completion(call())
    assert closed == [True]
