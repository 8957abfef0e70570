"""A graph that lets rows change each other's answers is refused, however it does it."""

import numpy as np
import pytest
from onnx import NodeProto, helper

from service.catalog.row_independence import check_row_independence
from service.errors import InferenceFailed, RowsNotIndependent
from service.inference.session import Session
from tests.graphs import DROPPING, LOOKUP, LOOKUP_SIGNATURE, copying, graph, lookup_rows, signature

SIGNATURE = signature({"inputs": (3,)}, {"outputs": (3,)}, "mixing.onnx")
ROWS = np.random.default_rng(5).standard_normal((4, 3)).astype(np.float32)
CONSTANTS = {
    "first_axis": np.array([0]),
    "axis": np.array(0),
    "zero": np.array([0]),
    "tiny": np.array(1e-3, np.float32),
    "one": np.array(1, np.float32),
    "backward": np.array([-1]),
    "before_all": np.array([-(2**62)]),
}
MIXING: dict[str, list[NodeProto]] = {
    "the mean of the batch": [
        helper.make_node("ReduceMean", ["inputs", "first_axis"], ["mean"]),
        helper.make_node("Sub", ["inputs", "mean"], ["outputs"]),
    ],
    "the largest of the batch": [
        helper.make_node("ReduceMax", ["inputs", "first_axis"], ["largest"]),
        helper.make_node("Add", ["inputs", "largest"], ["outputs"]),
    ],
    "a softmax over the batch": [helper.make_node("Softmax", ["inputs"], ["outputs"], axis=0)],
    "a running sum": [helper.make_node("CumSum", ["inputs", "axis"], ["outputs"])],
    "the first row": [
        helper.make_node("Gather", ["inputs", "zero"], ["first"]),
        helper.make_node("Mul", ["first", "tiny"], ["little"]),
        helper.make_node("Add", ["inputs", "little"], ["outputs"]),
    ],
    "rows in reverse": [
        helper.make_node(
            "Slice", ["inputs", "backward", "before_all", "first_axis", "backward"], ["outputs"]
        )
    ],
    "the number of rows": [
        helper.make_node("Shape", ["inputs"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["count"], to=1),
        helper.make_node("Div", ["inputs", "count"], ["outputs"]),
    ],
    "a scale that only very large values change": [
        helper.make_node("ReduceMax", ["inputs"], ["largest"], keepdims=0),
        helper.make_node("Clip", ["largest", "one"], ["scale"]),
        helper.make_node("Div", ["inputs", "scale"], ["outputs"]),
    ],
}


@pytest.mark.parametrize("how", MIXING)
def test_a_graph_that_mixes_rows_is_refused(how: str) -> None:
    rows = np.clip(ROWS, -1, 1) if "very large" in how else ROWS
    content = graph(MIXING[how], {"inputs": ("batch", 3)}, {"outputs": ("batch", 3)}, CONSTANTS)
    session = Session(content, SIGNATURE)

    with pytest.raises(
        RowsNotIndependent, match=r"^mixing\.onnx: outputs of a row deviates by .* allowed is"
    ):
        check_row_independence(session, [rows], 1e-4, 64)


@pytest.mark.parametrize("count", [1, 4])
def test_a_graph_that_does_not_mix_rows_is_accepted(count: int) -> None:
    check_row_independence(Session(copying(), SIGNATURE), [ROWS[:count]], 1e-4, 64)


def test_a_graph_that_fails_beside_impossible_rows_is_accepted() -> None:
    session = Session(LOOKUP, LOOKUP_SIGNATURE)

    check_row_independence(session, [lookup_rows(4)], 1e-4, 64)


def test_a_graph_that_drops_rows_fails() -> None:
    with pytest.raises(InferenceFailed, match="one row per row"):
        check_row_independence(Session(DROPPING, SIGNATURE), [ROWS], 1e-4, 64)
