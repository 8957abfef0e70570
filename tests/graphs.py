"""Single ONNX graphs for tests of what runs them: one that answers, one that can fail, odd ones."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.bundle.manifest import GraphSignature, TensorSpec

Array = NDArray[np.float32]
Axes = Sequence[str | int]

TABLE = np.array([0.5, -1.0, 2.0, 8.0, -3.0], np.float32)
"""What ``lookup`` multiplies by; a row with another index than 0 to 4 makes onnxruntime fail."""


def signature(
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
    file: str = "graph.onnx",
) -> GraphSignature:
    return GraphSignature(
        file=file,
        inputs=tuple(TensorSpec(name=name, shape=shape) for name, shape in inputs.items()),
        outputs=tuple(TensorSpec(name=name, shape=shape) for name, shape in outputs.items()),
    )


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Axes],
    outputs: Mapping[str, Axes],
    constants: Mapping[str, NDArray[np.generic]] | None = None,
    element_type: int = TensorProto.FLOAT,
) -> bytes:
    """Serialise a graph; axes include the batch axis, by name when it is dynamic."""
    proto = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*tensor) for tensor in _typed(inputs, element_type)],
        [helper.make_tensor_value_info(*tensor) for tensor in _typed(outputs, element_type)],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return model.SerializeToString()


def _typed(
    tensors: Mapping[str, Axes], element_type: int
) -> list[tuple[str, int, list[str | int]]]:
    return [(name, element_type, list(axes)) for name, axes in tensors.items()]


def copying(inputs: Axes = ("batch", 3), outputs: Axes = ("batch", 3)) -> bytes:
    """``outputs = inputs``, declared with any axes."""
    node = helper.make_node("Identity", ["inputs"], ["outputs"])
    return graph([node], {"inputs": inputs}, {"outputs": outputs})


LOOKUP_SIGNATURE = signature({"inputs": (2,)}, {"outputs": (2,)}, "lookup.onnx")
LOOKUP = graph(
    [
        helper.make_node("Cast", ["inputs"], ["indices"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "indices"], ["picked"]),
        helper.make_node("Mul", ["inputs", "picked"], ["outputs"]),
    ],
    {"inputs": ("batch", 2)},
    {"outputs": ("batch", 2)},
    {"table": TABLE},
)
"""``outputs = inputs * TABLE[inputs]``: fails for real, inside onnxruntime, on a bad index."""


def lookup(rows: Array) -> Array:
    return rows * TABLE[rows.astype(np.int64)]


def lookup_rows(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, len(TABLE), (count, 2)).astype(np.float32)


BAD_ROW = np.full((1, 2), 99, np.float32)

DROPPING = graph(
    [helper.make_node("Slice", ["inputs", "none", "one", "rows"], ["outputs"])],
    {"inputs": ("batch", 3)},
    {"outputs": ("batch", 3)},
    {"none": np.array([0]), "one": np.array([1]), "rows": np.array([0])},
)
"""``outputs = inputs[:1]``: not one row per row, unless there is only one."""
