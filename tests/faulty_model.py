"""A model whose rows say how it behaves: at once, after a while, or not at all."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from service.bundle.storage import BundleLocation
from tests.bundles import PLANE, publish_tiny, tiny_files
from tests.graphs import graph

_TURNS_A_SECOND = 8_000_000  # about as many as one fast thread makes
# A run is ended between two nodes, so no node takes much longer than a tenth of a second. One that
# has nothing to do takes none.
_MAX_TURNS = 1_000_000
_NODES = 240


def publish_faulty_model(models_dir: Path) -> BundleLocation:
    """Publish the tiny plane as ``plane``, with an encoder that heeds the first value of a row.

    Up to 9 it answers ``PLANE.encode`` at once; at 10 to 99 it fails inside onnxruntime;
    from 100 on it takes as many steps of a recurrent layer first, 240 million at most, and answers
    the same. Operators that loop are not accepted in a bundle.
    """
    files = {"encoder.onnx": _encoder(), "golden.npz": _golden()}
    return publish_tiny(models_dir, PLANE, files=files)


def publish_never_verified(models_dir: Path, name: str = "zebra") -> BundleLocation:
    """Publish a bundle whose golden rows take longer than any test waits."""
    model = replace(PLANE, name=name)
    return publish_tiny(models_dir, model, {"encoder.onnx": _encoder(), "golden.npz": _golden(600)})


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


def _golden(seconds: float = 0.004) -> bytes:
    """Make the encoder's golden rows slow: what is measured as slow runs on a thread."""
    with np.load(BytesIO(tiny_files(PLANE)["golden.npz"])) as archive:
        golden = dict(archive)
    rows = np.repeat(slow_rows(seconds), 3, axis=0)
    golden |= {"encoder/inputs": rows, "encoder/codes": PLANE.encode(rows)}
    stream = BytesIO()
    np.savez(stream, **golden)
    return stream.getvalue()


def _encoder() -> bytes:
    nodes = [
        helper.make_node("Gather", ["inputs", "first"], ["mood"], axis=1),
        helper.make_node("ReduceMax", ["mood"], ["greatest"], keepdims=0),
        # An index from 10 to 99 is beyond the table; every other one is replaced by 0.
        helper.make_node("Greater", ["greatest", "patience"], ["slow"]),
        helper.make_node("Less", ["greatest", "too_much"], ["not_too_slow"]),
        helper.make_node("And", ["slow", "not_too_slow"], ["takes_turns"]),
        helper.make_node("Where", ["takes_turns", "greatest", "nothing"], ["turns"]),
        helper.make_node("Where", ["slow", "nothing", "greatest"], ["wanted"]),
        helper.make_node("Max", ["wanted", "nothing"], ["at_least_nothing"]),
        helper.make_node("Cast", ["at_least_nothing"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["zeros", "index"], ["zero"]),
        helper.make_node("MatMul", ["inputs", "encoding"], ["own_codes"]),
        helper.make_node("ConstantOfShape", ["steps"], ["sequence"]),
    ]
    for number in range(_NODES):
        nodes += _turning(number)
    last = [f"still_nothing_{number}" for number in range(_NODES)]
    nodes.append(helper.make_node("Sum", ["own_codes", "zero", *last], ["codes"]))
    constants = {
        "first": np.array(0),
        "nothing": np.array(0, np.float32),
        "patience": np.array(99, np.float32),
        "too_much": np.array(1e10, np.float32),
        "zeros": np.zeros(10, np.float32),
        "encoding": PLANE.encoding,
        "steps": np.array([_MAX_TURNS, 1, 1]),
        "max_turns": np.array([_MAX_TURNS], np.float32),
        "one": np.array([1]),
        "weights": np.zeros((1, 3, 1), np.float32),
    }
    constants |= {
        f"turns_before_{number}": np.array([number * _MAX_TURNS], np.float32)
        for number in range(_NODES)
    }
    return graph(nodes, {"inputs": ("batch", 4)}, {"codes": ("batch", 2)}, constants)


def _turning(number: int) -> list[onnx.NodeProto]:
    """Make nodes that take the turns after the first ``number * _MAX_TURNS`` of them: 0."""
    return [
        helper.make_node("Sub", ["turns", f"turns_before_{number}"], [f"left_{number}"]),
        helper.make_node("Clip", [f"left_{number}", "nothing", "max_turns"], [f"taken_{number}"]),
        helper.make_node("Cast", [f"taken_{number}"], [f"lengths_{number}"], to=TensorProto.INT32),
        helper.make_node(
            "GRU",
            ["sequence", "weights", "weights", "", f"lengths_{number}"],
            ["", f"state_{number}"],
            hidden_size=1,
        ),
        helper.make_node("Reshape", [f"state_{number}", "one"], [f"still_nothing_{number}"]),
    ]
