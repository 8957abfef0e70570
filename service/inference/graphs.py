"""What the calls of an autoencoder need of a graph, and the plain way to provide it."""

import time
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from service.arrays import FloatArray
from service.bundle.manifest import DECODER, ENCODER
from service.inference.session import Runnable

Answer = TypeVar("Answer")

ROUND_TRIP = f"{ENCODER}+{DECODER}"
"""Name of both graphs as one, where what passes between them need not leave the device."""


@dataclass(slots=True)
class RequestContext:
    """What one request carries through the graphs it needs.

    Attributes:
        deadline: ``time.monotonic()`` after which its work is not worth starting.
        queue_seconds: Time until the first rows ran, summed over the graphs so far.
        inference_seconds: Time of the batches its rows were in, summed likewise.
        finite: Whether all that graphs gave for its rows so far was finite.
    """

    deadline: float = float("inf")
    queue_seconds: float = 0.0
    inference_seconds: float = 0.0
    finite: bool = True


@dataclass(frozen=True, slots=True)
class Onward:
    """Where the first output of a graph goes next, without a stop at whoever asked for it.

    Attributes:
        graph: The graph that takes it.
        others: What that graph takes beside it, each (rows, *row shape).
    """

    graph: "Graph"
    others: tuple[FloatArray, ...] = ()


class Graph(Protocol):
    """A graph that rows can be sent through, alone or together with other requests' rows."""

    def run(
        self,
        *inputs: FloatArray,
        context: RequestContext,
        exclusive: bool = False,
        onward: Onward | None = None,
    ) -> Awaitable[tuple[FloatArray, ...]]:
        """Send rows through the graph.

        Args:
            inputs: Arrays in the signature's order, each (rows, *row shape).
            context: Whose work this is; its times are added to.
            exclusive: Never share a batch, so that the answer's bytes depend on nothing else.
            onward: Where the outputs go next; then the answer is that graph's.

        Returns:
            Outputs of the last graph that ran. Outputs that are not finite go nowhere: where the
            context says so, these may be those of a graph before ``onward``.
        """
        ...


@dataclass(frozen=True)
class DirectGraph:
    """A graph run at once on the caller's thread: for training, command lines and tests."""

    session: Runnable
    max_batch_rows: int = 256

    async def run(
        self,
        *inputs: FloatArray,
        context: RequestContext,
        exclusive: bool = False,
        onward: Onward | None = None,
    ) -> tuple[FloatArray, ...]:
        """Send rows through the graph, ``max_batch_rows`` at a time; see ``Graph.run``."""
        started = time.perf_counter()
        parts = [
            self.session.run(*(array[first : first + self.max_batch_rows] for array in inputs))
            for first in range(0, len(inputs[0]), self.max_batch_rows)
        ]
        context.inference_seconds += time.perf_counter() - started
        outputs = tuple(np.concatenate(part) for part in zip(*parts, strict=True))
        context.finite &= all_finite(outputs)
        if onward is None or not context.finite:
            return outputs
        graph, others = onward.graph, onward.others
        return await graph.run(outputs[0], *others, context=context, exclusive=exclusive)


def all_finite(arrays: tuple[FloatArray, ...]) -> bool:
    """Whether no array holds an infinity or NaN."""
    for array in arrays:  # noqa: SIM110  # a generator costs as much as a small array
        if not np.isfinite(array).all():
            return False
    return True


def run_to_completion(call: Coroutine[Any, Any, Answer]) -> Answer:
    """Drive a call over ``DirectGraph``s to its end without an event loop.

    The calls of an autoencoder are written once, as coroutines, because served graphs have
    queues. Over direct graphs they never wait for anything, so one step finishes them.

    Raises:
        RuntimeError: The call waited: it runs over graphs that need an event loop.
    """
    try:
        call.send(None)
    except StopIteration as finished:
        return finished.value
    call.close()
    raise RuntimeError("the call waits for an event loop; run it in one")
