import numpy as np
import onnx
import pytest
from onnx import helper

from tests.training.export.graph_passes.made_graphs import (
    made_graph,
    normal,
    operators,
    rewritten_equal,
    untouched,
)
from training.export.graph_passes.recurrent_states import leave_out_zero_states, take_last_state

UNITS, FEATURES = 3, 2


def recurrent(
    state: float = 0.0, start: int = -1, direction: str = "forward", outputs: str = "last"
) -> onnx.ModelProto:
    """Make what tf2onnx makes of a Keras LSTM."""
    node = helper.make_node
    directions = 2 if direction == "bidirectional" else 1
    nodes = [
        node("Transpose", ["inputs"], ["by_step"], perm=[1, 0, 2]),
        node("Shape", ["inputs"], ["shape"]),
        node("Slice", ["shape", "zero", "one", "zero"], ["rows"]),
        node("Concat", ["rows", "units"], ["state_shape"], axis=0),
        node("Expand", ["start_value", "state_shape"], ["flat_state"]),
        node("Unsqueeze", ["flat_state", "zero"], ["state"]),
        node(
            "LSTM",
            ["by_step", "w", "r", "b", "", "state", "state"],
            ["steps", "state_after"],
            hidden_size=UNITS,
            direction=direction,
        ),
        node("Squeeze", ["steps", "one"], ["sequence"]),
        node("Slice", ["sequence", "start", "end", "zero"], ["last_step"]),
        node("Squeeze", ["last_step", "zero"], ["outputs"]),
    ]
    if outputs == "sequence":
        nodes[-2:] = [node("Transpose", ["sequence"], ["outputs"], perm=[1, 0, 2])]
    constants = {
        "zero": np.array([0]),
        "one": np.array([1]),
        "units": np.array([UNITS]),
        "start_value": np.array(state, np.float32),
        "start": np.array([start]),
        "end": np.array([np.iinfo(np.int64).max if start == -1 else start + 1]),
        "w": normal(directions, 4 * UNITS, FEATURES),
        "r": normal(directions, 4 * UNITS, UNITS),
        "b": normal(directions, 8 * UNITS),
    }
    return made_graph(nodes, (5, FEATURES), constants)


def test_states_of_zeros_are_left_out_with_the_chain_that_made_them() -> None:
    after = rewritten_equal(recurrent(), leave_out_zero_states)

    assert operators(after) == {"Transpose": 1, "LSTM": 1, "Squeeze": 2, "Slice": 1}


def test_states_that_are_not_zeros_stay() -> None:
    assert untouched(recurrent(state=0.5), leave_out_zero_states)


def test_the_last_state_is_read_where_it_is_given() -> None:
    after = rewritten_equal(recurrent(), leave_out_zero_states, take_last_state)

    assert operators(after) == {"Transpose": 1, "LSTM": 1, "Squeeze": 1}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(recurrent(start=2), id="another step"),
        pytest.param(recurrent(outputs="sequence"), id="all steps"),
    ],
)
def test_other_steps_are_left_alone(model: onnx.ModelProto) -> None:
    assert untouched(model, take_last_state)


def test_the_last_step_of_a_reversed_layer_is_not_its_last_state() -> None:
    assert untouched(recurrent(direction="reverse"), take_last_state)
