"""Encoder and decoder as one graph: rows go in, reconstructions come out, in one run.

What passes between the two needs no second queue, and on a GPU never leaves the device
(``bound_graphs``).
"""

from collections.abc import Mapping

from service.arrays import FloatArray
from service.bundle.manifest import DECODER, ENCODER, TensorSpec
from service.inference.bound_graphs import BoundGraphs, chained_inputs
from service.inference.session import Runnable, RunStop, Session

CHAIN = f"{ENCODER}+{DECODER}"
"""Name of encoder and decoder as one graph."""


class ChainedGraph:
    """Sessions of which each takes the first output of the one before.

    Attributes:
        inputs: Names and shapes of the inputs, in the order of ``run``'s arguments: those of the
            first graph, then what further graphs take besides, of every name once.
    """

    def __init__(self, *sessions: Session) -> None:
        """Chain sessions in the order in which rows pass through them."""
        self.inputs: tuple[TensorSpec, ...] = chained_inputs(sessions)
        self._sessions = sessions
        positions = {tensor.name: number for number, tensor in enumerate(self.inputs)}
        first, *following = sessions
        self._first_inputs = len(first.signature.inputs)
        self._other_inputs = [
            [positions[tensor.name] for tensor in session.signature.inputs[1:]]
            for session in following
        ]

    def run(self, *inputs: FloatArray, stop: RunStop | None = None) -> tuple[FloatArray, ...]:
        """Send rows through all graphs.

        Args:
            inputs: Float32 arrays, each (rows, *row shape).
            stop: Ends this run from another thread.

        Returns:
            The outputs of the last graph, then those of the graphs before it: what overflowed on
            the way may not show at the end.

        Raises:
            InferenceFailed: onnxruntime failed, the run was ended, or a graph does not give one row
                per row.
        """
        first, *following = self._sessions
        outputs = first.run(*inputs[: self._first_inputs], stop=stop)
        between: tuple[FloatArray, ...] = ()
        for session, others in zip(following, self._other_inputs, strict=True):
            between += outputs
            other_inputs = [inputs[position] for position in others]
            outputs = session.run(outputs[0], *other_inputs, stop=stop)
        return outputs + between

    def run_and_release_memory(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Send rows through all graphs; each session's memory is released by its own."""
        return self.run(*inputs)

    def stop(self) -> None:
        """End what runs, for good; see ``Session.stop``."""
        for session in self._sessions:
            session.stop()


def with_chain(sessions: Mapping[str, Session]) -> dict[str, Runnable]:
    """Add the chain of encoder and decoder to a bundle's graphs, where it has both."""
    return _add_chain(sessions, sessions, ChainedGraph)


def bind_with_chain(sessions: Mapping[str, Session]) -> dict[str, Runnable]:
    """Bind a bundle's graphs to memory of their provider, and add their chain likewise."""
    bound = {name: BoundGraphs(session) for name, session in sessions.items()}
    return _add_chain(bound, sessions, BoundGraphs)


def _add_chain(
    runnables: Mapping[str, Runnable],
    sessions: Mapping[str, Session],
    chain: type[ChainedGraph] | type[BoundGraphs],
) -> dict[str, Runnable]:
    if not {ENCODER, DECODER} <= sessions.keys():
        return dict(runnables)
    return {**runnables, CHAIN: chain(sessions[ENCODER], sessions[DECODER])}
