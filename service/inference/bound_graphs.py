"""Graphs run where their provider computes, on memory that is bound once.

A plain run copies its inputs to the device, takes memory for everything and copies the outputs
back. Here the memory is taken once for every size of batch there is, what one graph computes for
the next stays on the device, and rows of any number are padded to the next size: a device's
libraries plan, and take memory, anew for every size they meet. On the CPU there is nothing to
copy to, and a plain run costs less.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from service.arrays import FloatArray
from service.bundle.manifest import TensorSpec
from service.inference.buffers import DeviceBuffer, HostBuffer
from service.inference.session import Binding, RunStop, Session


@dataclass(frozen=True)
class _Lane:
    """Memory for one batch at a time, of one size, and the graphs bound to it."""

    inputs: Sequence[tuple[HostBuffer, DeviceBuffer]]
    bindings: Sequence[Binding]
    between: Sequence[DeviceBuffer]
    outputs: Sequence[HostBuffer]

    def run(self, inputs: Sequence[FloatArray], stop: RunStop | None) -> tuple[FloatArray, ...]:
        rows = len(inputs[0])
        for array, (staging, device) in zip(inputs, self.inputs, strict=True):
            staging.numbers[:rows] = array
            staging.numbers[rows:] = 0  # nothing of the batch before
            device.fill(staging.numbers)
        for binding in self.bindings:
            binding.run(stop)
        outputs = [buffer.numbers[:rows].copy() for buffer in self.outputs]
        return (*outputs, *(buffer.read()[:rows] for buffer in self.between))


class BoundGraphs:
    """One graph, or several of which each takes the first output of the one before.

    Inputs are those of the first graph, then what further graphs take besides, of every name
    once. Safe to call from several threads at once: each run has memory of its own.

    Attributes:
        inputs: Names and shapes of the inputs, in the order of ``run``'s arguments.
        provider: The provider of all graphs.
    """

    def __init__(self, *sessions: Session) -> None:
        """Join sessions.

        Args:
            sessions: In the order in which rows pass through them, all of one provider.
        """
        self.provider = sessions[0].provider
        self.inputs = chained_inputs(sessions)
        self._sessions = sessions
        self._lanes: defaultdict[int, deque[_Lane]] = defaultdict(deque)

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
        size = padded_rows(len(inputs[0]))
        lanes = self._lanes[size]
        try:
            lane = lanes.pop()
        except IndexError:  # all of this size are in use
            lane = self._open_lane(size)
        outputs = lane.run(inputs, stop)
        lanes.append(lane)  # not after a failure, which leaves it in an unknown state
        return outputs

    def run_and_release_memory(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Send rows through all graphs; bound memory is kept, because larger runs will come."""
        return self.run(*inputs)

    def stop(self) -> None:
        """End what runs, for good; see ``Session.stop``."""
        for session in self._sessions:
            session.stop()

    def _open_lane(self, rows: int) -> _Lane:
        def on_device(tensor: TensorSpec) -> DeviceBuffer:
            return DeviceBuffer((rows, *tensor.shape), self.provider)

        def on_host(tensor: TensorSpec) -> HostBuffer:
            return HostBuffer((rows, *tensor.shape), self.provider)

        staged = {tensor.name: (on_host(tensor), on_device(tensor)) for tensor in self.inputs}
        *before, last = self._sessions
        between: list[DeviceBuffer] = []
        bindings: list[Binding] = []
        first_input: list[DeviceBuffer] = []
        for session in before:
            outputs = [on_device(tensor) for tensor in session.signature.outputs]
            bindings.append(session.bind(_inputs_of(session, staged, first_input), outputs))
            between += outputs
            first_input = outputs[:1]
        last_outputs = [on_host(tensor) for tensor in last.signature.outputs]
        bindings.append(last.bind(_inputs_of(last, staged, first_input), last_outputs))
        return _Lane(tuple(staged.values()), bindings, between, last_outputs)


def _inputs_of(
    session: Session,
    staged: dict[str, tuple[HostBuffer, DeviceBuffer]],
    first_input: list[DeviceBuffer],
) -> list[DeviceBuffer]:
    others = session.signature.inputs[len(first_input) :]
    return [*first_input, *(staged[tensor.name][1] for tensor in others)]


def chained_inputs(sessions: Sequence[Session]) -> tuple[TensorSpec, ...]:
    """Name what a chain of graphs takes: all but what each graph takes from the one before.

    Args:
        sessions: In the order in which rows pass through them.
    """
    inputs = {tensor.name: tensor for tensor in sessions[0].signature.inputs}
    for session in sessions[1:]:
        inputs |= {tensor.name: tensor for tensor in session.signature.inputs[1:]}
    return tuple(inputs.values())


def padded_rows(rows: int) -> int:
    """Return the size of batch that rows are padded to: the next power of two.

    Those are the sizes that loading a model warms up and measures.
    """
    return 1 << (rows - 1).bit_length()
