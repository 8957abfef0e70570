"""What operations need of a graph, and the plain way to provide it."""

import time
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from service.arrays import FloatArray
from service.inference.session import Runnable
from service.request_context import RequestContext

Result = TypeVar("Result")


class Graph(Protocol):
    """A graph that rows can be sent through, alone or together with other requests' rows."""

    def run(
        self, *inputs: FloatArray, context: RequestContext, exclusive: bool = False
    ) -> Awaitable[tuple[FloatArray, ...]]:
        """Send rows through the graph.

        Args:
            inputs: Arrays in the signature's order, each (rows, *row shape).
            context: Of the request; its times are added to, and ``finite`` is cleared where an
                output is not finite.
            exclusive: Never share a batch, so that the result's bytes depend on nothing else.

        Returns:
            The outputs in the signature's order, each (rows, *row shape).
        """
        ...


@dataclass(frozen=True)
class DirectGraph:
    """A graph run at once on the caller's thread: for training, command lines and tests."""

    runnable: Runnable
    max_batch_rows: int = 256

    async def run(
        self,
        *inputs: FloatArray,
        context: RequestContext,
        exclusive: bool = False,  # noqa: ARG002  # nothing shares a batch here
    ) -> tuple[FloatArray, ...]:
        """Send rows through the graph, ``max_batch_rows`` at a time; see ``Graph.run``."""
        started = time.perf_counter()
        batches = [
            self.runnable.run(*(array[first : first + self.max_batch_rows] for array in inputs))
            for first in range(0, len(inputs[0]), self.max_batch_rows)
        ]
        context.inference_seconds += time.perf_counter() - started
        outputs = tuple(np.concatenate(column) for column in zip(*batches, strict=True))
        context.finite &= all_finite(outputs)
        return outputs


def direct_graphs(runnables: Mapping[str, Runnable]) -> dict[str, DirectGraph]:
    """Run each of a bundle's graphs directly, by name.

    Example:
        >>> sessions, _ = open_verified_sessions(bundle, SessionOptions())
        >>> autoencoder = Autoencoder(bundle, direct_graphs(with_chain(sessions)))
    """
    return {name: DirectGraph(runnable) for name, runnable in runnables.items()}


def all_finite(arrays: tuple[FloatArray, ...]) -> bool:
    """Whether no array holds an infinity or NaN."""
    for array in arrays:  # noqa: SIM110  # a generator costs as much as a small array
        if not np.isfinite(array).all():
            return False
    return True


def run_to_completion(operation: Coroutine[Any, Any, Result]) -> Result:
    """Drive an operation over ``DirectGraph``s to its end without an event loop.

    Operations are written once, as coroutines, because served graphs have queues. Over direct
    graphs they never wait, so one step finishes them.

    Raises:
        RuntimeError: The operation waited: it runs over graphs that need an event loop.
    """
    try:
        operation.send(None)
    except StopIteration as finished:
        return finished.value
    operation.close()
    raise RuntimeError("the operation waits for an event loop; run it in one")
