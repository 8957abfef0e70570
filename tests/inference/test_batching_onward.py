"""Rows that go on to a second graph do so without a stop, and only when they are finite."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from onnx import helper

from service.errors import Draining, InferenceFailed
from service.inference.batching import QueuedGraph
from service.inference.graphs import DirectGraph, Graph, Onward, RequestContext, run_to_completion
from service.inference.session import Session
from tests.graphs import LOOKUP, LOOKUP_SIGNATURE, TABLE, Array, copying, graph, lookup, signature

pytestmark = pytest.mark.timeout(20)

ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]], np.float32)


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def lookup_session() -> Session:
    return Session(LOOKUP, LOOKUP_SIGNATURE)


def copy_session() -> Session:
    return Session(
        copying(("batch", 2), ("batch", 2)), signature({"inputs": (2,)}, {"outputs": (2,)})
    )


def queued(session: Session, executor: ThreadPoolExecutor, **limits: int) -> QueuedGraph:
    return QueuedGraph(session, executor, **{"max_batch_rows": 10, "max_queue_rows": 4} | limits)


async def test_the_answer_is_the_second_graphs(executor: ThreadPoolExecutor) -> None:
    for inline in (0, 10):
        first = queued(copy_session(), executor, max_inline_rows=inline)
        second = queued(lookup_session(), executor, max_inline_rows=inline)
        context = RequestContext()

        (found,) = await first.run(ROWS, context=context, onward=Onward(second))

        assert np.array_equal(found, lookup(ROWS))
        assert context.finite
        assert context.inference_seconds > 0


async def test_rows_cut_at_the_first_graph_arrive_whole_at_the_second(
    executor: ThreadPoolExecutor,
) -> None:
    first = queued(copy_session(), executor, max_batch_rows=2)
    second = queued(lookup_session(), executor, max_batch_rows=3, max_inline_rows=3)

    (found,) = await first.run(ROWS, context=RequestContext(), onward=Onward(second))

    assert np.array_equal(found, lookup(ROWS))


async def test_rows_that_were_let_in_once_are_let_in_at_the_second_graph(
    executor: ThreadPoolExecutor,
) -> None:
    first = queued(copy_session(), executor)
    second = queued(lookup_session(), executor, max_queue_rows=1)

    (found,) = await first.run(ROWS, context=RequestContext(), onward=Onward(second))

    assert np.array_equal(found, lookup(ROWS))


@pytest.mark.parametrize("kind", ["queued", "direct"])
async def test_rows_that_are_not_finite_go_no_further_and_harm_no_neighbour(
    executor: ThreadPoolExecutor, kind: str
) -> None:
    bad = np.array([[0.0, np.inf]], np.float32)
    first: Graph = DirectGraph(copy_session())
    second: Graph = DirectGraph(lookup_session())
    if kind == "queued":
        first, second = queued(copy_session(), executor), queued(lookup_session(), executor)
    good_ticket, bad_ticket = RequestContext(), RequestContext()

    (good_answer,), (bad_answer,) = await asyncio.gather(
        first.run(ROWS, context=good_ticket, onward=Onward(second)),
        first.run(bad, context=bad_ticket, onward=Onward(second)),
    )

    assert np.array_equal(good_answer, lookup(ROWS))
    assert good_ticket.finite
    assert np.array_equal(bad_answer, bad)  # the first graph's: for whoever says which row it is
    assert not bad_ticket.finite


async def test_who_leaves_on_the_way_costs_the_second_graph_nothing(
    executor: ThreadPoolExecutor,
) -> None:
    first = queued(copy_session(), executor, max_inline_rows=10)
    second = queued(lookup_session(), executor)
    runs: list[int] = []
    released = threading.Event()
    run = second.session.run

    def run_when_released(*inputs: np.ndarray) -> Any:
        released.wait()
        runs.append(len(inputs[0]))
        return run(*inputs)

    second.session.run = run_when_released
    others = asyncio.ensure_future(second.run(ROWS[:1], context=RequestContext()))
    task = asyncio.ensure_future(first.run(ROWS, context=RequestContext(), onward=Onward(second)))
    while second.waiting_rows != len(ROWS):  # noqa: ASYNC110  # busy with others' rows
        await asyncio.sleep(0)
    task.cancel()
    released.set()
    await others
    with pytest.raises(asyncio.CancelledError):
        await task
    await second.close()

    assert runs == [1]
    assert second.waiting_rows == 0


async def test_requests_that_ran_together_go_on_together(executor: ThreadPoolExecutor) -> None:
    first, second = queued(copy_session(), executor), queued(lookup_session(), executor)
    runs: list[int] = []
    run = second.session.run
    second.session.run = lambda *inputs: runs.append(len(inputs[0])) or run(*inputs)
    tickets = [RequestContext() for _ in range(3)]

    answers = await asyncio.gather(
        *(first.run(ROWS[:1], context=context, onward=Onward(second)) for context in tickets)
    )

    assert runs == [3]
    for (found,), context in zip(answers, tickets, strict=True):
        assert np.array_equal(found, lookup(ROWS[:1]))
        assert context.inference_seconds > 0
    assert second.waiting_rows == 0


async def test_of_those_that_go_on_together_only_the_one_at_fault_fails(
    executor: ThreadPoolExecutor,
) -> None:
    first, second = queued(copy_session(), executor), queued(lookup_session(), executor)
    unknown = np.array([[9.0, 9.0]], np.float32)  # outside the table

    good, bad, other = await asyncio.gather(
        *(
            first.run(rows, context=RequestContext(), onward=Onward(second))
            for rows in (ROWS[:1], unknown, ROWS[1:])
        ),
        return_exceptions=True,
    )

    assert isinstance(bad, InferenceFailed)
    assert isinstance(good, tuple)
    assert isinstance(other, tuple)
    assert np.array_equal(good[0], lookup(ROWS[:1]))
    assert np.array_equal(other[0], lookup(ROWS[1:]))


async def test_rows_on_their_way_are_told_when_both_graphs_close(
    executor: ThreadPoolExecutor,
) -> None:
    first = queued(copy_session(), executor)
    second = queued(lookup_session(), executor)
    task = asyncio.ensure_future(first.run(ROWS, context=RequestContext(), onward=Onward(second)))
    await asyncio.sleep(0)

    await asyncio.gather(first.close(), second.close())

    with pytest.raises(Draining):
        await task
    with pytest.raises(Draining):
        await second.run(ROWS, context=RequestContext())


def test_a_direct_graph_takes_what_the_second_graph_takes_beside_it() -> None:
    names = {"inputs": (2,), "other": (2,)}
    adding = graph(
        [helper.make_node("Add", ["inputs", "other"], ["outputs"])],
        {name: ("batch", *shape) for name, shape in names.items()},
        {"outputs": ("batch", 2)},
    )
    second = DirectGraph(Session(adding, signature(names, {"outputs": (2,)})))
    other: Array = np.full((3, 2), TABLE[0], np.float32)

    (found,) = run_to_completion(
        DirectGraph(copy_session()).run(
            ROWS, context=RequestContext(), onward=Onward(second, (other,))
        )
    )

    assert np.array_equal(found, ROWS + 0.5)
