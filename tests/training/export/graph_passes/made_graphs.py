"""Small graphs to rewrite, and what must be true of them afterwards."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from service.bundle.manifest import GraphSignature, TensorSpec
from service.inference.session import Session, SessionOptions
from training.arrays import FloatArray
from training.export.graph_passes.optimization import Rewrite, rewritten
from training.export.parity import BATCH_SIZES, TOLERANCE, relative_deviation

RANDOM = np.random.default_rng(7)
UPSAMPLE = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}


def normal(*shape: int) -> FloatArray:
    """Draw weights of the size that trained ones have."""
    return RANDOM.normal(0, 0.5, shape).astype(np.float32)


def upsampling(source: str, result: str) -> NodeProto:
    """Make a ``Resize`` by the constant ``scales``."""
    return helper.make_node("Resize", [source, "", "scales"], [result], **UPSAMPLE)


def made_graph(
    nodes: Sequence[NodeProto],
    row_shape: Sequence[int],
    constants: Mapping[str, NDArray[np.generic]],
    outputs: Sequence[str] = ("outputs",),
) -> onnx.ModelProto:
    """Put nodes between ``inputs``, (batch, *row_shape), and some of their outputs."""
    source = helper.make_tensor_value_info("inputs", onnx.TensorProto.FLOAT, ["batch", *row_shape])
    results = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs
    ]
    graph = helper.make_graph(
        list(nodes),
        "made",
        [source],
        results,
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for result in model.graph.output:
        result.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(model)
    return model


def operators(model: onnx.ModelProto) -> Counter[str]:
    """Count nodes by operator."""
    return Counter(node.op_type for node in model.graph.node)


def rewritten_equal(model: onnx.ModelProto, *rewrites: Rewrite) -> onnx.ModelProto:
    """Rewrite a graph, and prove that it is valid and computes what it computed before."""
    after = rewritten(model, rewrites)
    onnx.checker.check_model(after, full_check=True)
    (source,) = model.graph.input
    row_shape = [dimension.dim_value for dimension in source.type.tensor_type.shape.dim][1:]
    for rows in BATCH_SIZES:
        batch = RANDOM.normal(0, 1, (rows, *row_shape)).astype(np.float32)
        for ours, theirs in zip(answers(after, batch), answers(model, batch), strict=True):
            assert ours.shape == theirs.shape
            assert relative_deviation(ours, theirs) <= TOLERANCE / 10
    return after


def untouched(model: onnx.ModelProto, *rewrites: Rewrite) -> bool:
    """Say whether rewrites leave every node of a graph as it was."""
    return operators(rewritten_equal(model, *rewrites)) == operators(model)


def answers(model: onnx.ModelProto, rows: FloatArray) -> tuple[FloatArray, ...]:
    """Run a graph as it is served."""
    signature = GraphSignature(
        file="made.onnx", inputs=_specs(model.graph.input), outputs=_specs(model.graph.output)
    )
    return Session(model.SerializeToString(), signature, SessionOptions(threads=1)).run(rows)


def _specs(values: Sequence[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=value.name,
            shape=tuple(size.dim_value for size in value.type.tensor_type.shape.dim[1:]),
        )
        for value in values
    )
