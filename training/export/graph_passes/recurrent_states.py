"""LSTMs with zeros as initial state, and with the last state as output, in ONNX's own terms."""

import onnx_ir as ir

from training.export.graph_passes.editing import Replacement, constant, inputs_of, only_consumer

# Operators whose output is all zeros if their first input is.
_KEEP_ZEROS = {"Expand", "Identity", "Reshape", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
_INITIAL_STATES = (5, 6)  # positions of the optional inputs initial_h and initial_c


def leave_out_zero_states(graph: ir.Graph) -> None:
    """Remove initial states that are zeros, which is ONNX's default.

    Args:
        graph: Changed in place; nodes that only computed the states are removed afterwards.
    """
    for node in graph:
        if node.op_type == "LSTM":
            for position in _INITIAL_STATES:
                if position < len(node.inputs) and _is_zeros(node.inputs[position]):
                    node.replace_input_with(position, None)


def take_last_state(graph: ir.Graph) -> None:
    """Read the state after the last step from the output ``Y_h``, not from the states of all steps.

    Args:
        graph: Changed in place.
    """
    for node in list(graph):
        if (
            node.op_type != "LSTM"
            or node.attributes.get_string("direction", "forward") != "forward"
        ):
            continue
        steps = only_consumer(node.outputs[0], "Squeeze")  # (steps, 1, rows, units)
        last = steps and only_consumer(steps.outputs[0], "Slice")
        state = last and only_consumer(last.outputs[0], "Squeeze")
        if steps and last and state and _is_last_step(steps, last, state):
            new = Replacement(graph)
            squeezed = new.node("Squeeze", _state_after(node), state.inputs[1])
            new.replace([steps, last, state], squeezed)


def _state_after(node: ir.Node) -> ir.Value:
    """Return the output ``Y_h``, (1, rows, units), and name it, so that it is computed."""
    node.resize_outputs(max(2, len(node.outputs)))
    state = node.outputs[1]
    state.name = state.name or f"{node.outputs[0].name}_last"
    return state


def _is_zeros(value: ir.Value | None) -> bool:
    while value is not None and (node := value.producer()) and node.op_type in _KEEP_ZEROS:
        value = node.inputs[0]
    array = constant(value)
    return array is not None and array.size > 0 and not array.any()


def _is_last_step(steps: ir.Node, last: ir.Node, state: ir.Node) -> bool:
    _, starts, ends, axes, strides = inputs_of(last, 5)
    numbers = [constant(value) for value in (steps.inputs[1], starts, axes, state.inputs[1])]
    if [None if array is None else array.tolist() for array in numbers] != [[1], [-1], [0], [0]]:
        return False
    end, stride = constant(ends), constant(strides)
    return end is not None and end[0] >= 2**31 - 1 and (stride is None or stride.tolist() == [1])
