"""A model whose rows say how it behaves: at once, after a while, or not at all."""

from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from service.bundle.storage import BundleLocation
from tests.bundles import PLANE, publish_tiny, tiny_files
from tests.graphs import graph

_TURNS_A_SECOND = 1_500_000  # about as many as one fast thread makes


def publish_faulty_model(models_dir: Path) -> BundleLocation:
    """Publish the tiny plane as ``plane``, with an encoder that heeds the first value of a row.

    Up to 9 it answers ``PLANE.encode`` at once; at 10 to 99 it fails inside onnxruntime;
    from 100 on it takes as many turns of a loop first, and answers the same.
    """
    files = {"encoder.onnx": _encoder(), "golden.npz": _golden()}
    return publish_tiny(models_dir, PLANE, files=files)


def slow_rows(seconds: float) -> np.ndarray:
    """Make a row whose encoding takes about so long, longer where much else runs."""
    rows = PLANE.rows(1)
    rows[0, 0] = seconds * _TURNS_A_SECOND
    return rows


def failing_rows() -> np.ndarray:
    """Make a row whose encoding fails inside onnxruntime."""
    rows = PLANE.rows(1)
    rows[0, 0] = 50
    return rows


def _golden() -> bytes:
    """Make the encoder's golden rows slow: what is measured as slow runs on a thread."""
    with np.load(BytesIO(tiny_files(PLANE)["golden.npz"])) as archive:
        golden = dict(archive)
    rows = np.repeat(slow_rows(0.004), 3, axis=0)
    golden |= {"encoder/inputs": rows, "encoder/codes": PLANE.encode(rows)}
    stream = BytesIO()
    np.savez(stream, **golden)
    return stream.getvalue()


def _encoder() -> bytes:
    nodes = [
        helper.make_node("Gather", ["inputs", "first"], ["mood"], axis=1),
        helper.make_node("ReduceMax", ["mood"], ["greatest"], keepdims=0),
        helper.make_node("Cast", ["greatest"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "", "nothing"], ["still_nothing"], body=_turn()),
        # An index from 10 to 99 is beyond the table; every other one is clipped into it.
        helper.make_node("Greater", ["greatest", "patience"], ["slow"]),
        helper.make_node("Where", ["slow", "nothing", "greatest"], ["wanted"]),
        helper.make_node("Max", ["wanted", "nothing"], ["at_least_nothing"]),
        helper.make_node("Cast", ["at_least_nothing"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["zeros", "index"], ["zero"]),
        helper.make_node("MatMul", ["inputs", "encoding"], ["own_codes"]),
        helper.make_node("Sum", ["own_codes", "zero", "still_nothing"], ["codes"]),
    ]
    constants = {
        "first": np.array(0),
        "nothing": np.array(0, np.float32),
        "patience": np.array(99, np.float32),
        "zeros": np.zeros(10, np.float32),
        "encoding": PLANE.encoding,
    }
    return graph(nodes, {"inputs": ("batch", 4)}, {"codes": ("batch", 2)}, constants)


def _turn() -> onnx.GraphProto:
    def tensor(name: str, kind: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, [])

    return helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still_going"]),
            helper.make_node("Abs", ["value"], ["same_value"]),
        ],
        "turn",
        [
            tensor("turn", TensorProto.INT64),
            tensor("going", TensorProto.BOOL),
            tensor("value", TensorProto.FLOAT),
        ],
        [tensor("still_going", TensorProto.BOOL), tensor("same_value", TensorProto.FLOAT)],
    )
