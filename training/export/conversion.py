"""Convert a Keras function to an ONNX graph: trace, convert, simplify, rewrite, check."""

from typing import Any

import onnx
import onnxslim
import tensorflow as tf
import tf2onnx

from service.bundle.manifest import GraphSignature
from training.errors import ExportFailed
from training.export.graph_functions import GraphFunction
from training.export.graph_passes.optimization import normalize, optimize
from training.tensors import Tensor

OPSET = 18
IR_VERSION = 8  # that of opset 18: runtimes reject later versions than they know
BATCH_AXIS = "batch"

_RANDOM_OPERATORS = {
    *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
    *("RandomUniform", "RandomUniformLike"),
}


def export_graph(graph: GraphFunction) -> bytes:
    """Convert a Keras function to an ONNX graph of standard operators.

    Args:
        graph: The function, and the signature of the graph.

    Returns:
        ONNX bytes: opset 18, first axis dynamic and named ``batch``.

    Raises:
        ExportFailed: The graph draws random numbers, has operators of another domain, or is not
            valid ONNX.
    """
    model: Any = convert_graph(graph)
    # Before simplification, which replaces random operators by constants drawn once.
    _check_operators(model, graph.signature.file)
    try:
        model = onnxslim.slim(normalize(model))
        _declare_signature(model, graph.signature)
        model = optimize(model)
        _declare_signature(model, graph.signature)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportFailed(f"{graph.signature.file} is not valid ONNX: {error}") from error
    return model.SerializeToString()


def convert_graph(graph: GraphFunction) -> onnx.ModelProto:
    """Convert a function with tf2onnx, without any further rewrite.

    Args:
        graph: The function and its signature.

    Returns:
        The graph; where tf2onnx has no conversion, with operators of TensorFlow.

    Raises:
        ExportFailed: tf2onnx raised an error.
    """
    names = [output.name for output in graph.signature.outputs]

    def named_outputs(*inputs: Tensor) -> dict[str, Tensor]:
        return dict(zip(names, graph.function(*inputs), strict=True))

    spec = [
        tf.TensorSpec((None, *source.shape), tf.float32, name=source.name)
        for source in graph.signature.inputs
    ]
    traced = tf.function(named_outputs, input_signature=spec)
    try:
        model, _ = tf2onnx.convert.from_function(traced, input_signature=spec, opset=OPSET)
    except (ValueError, RuntimeError, NotImplementedError) as error:
        raise ExportFailed(f"{graph.signature.file} cannot be converted: {error}") from error
    return model


def _declare_signature(model: onnx.ModelProto, signature: GraphSignature) -> None:
    graph = model.graph
    for nodes, specs in ((graph.input, signature.inputs), (graph.output, signature.outputs)):
        types = {
            spec.name: onnx.helper.make_tensor_value_info(
                spec.name, onnx.TensorProto.FLOAT, [BATCH_AXIS, *spec.shape]
            )
            for spec in specs
        }
        del nodes[:]
        nodes.extend(types.values())
    del graph.value_info[:]  # it names the batch axis otherwise; runtimes infer shapes themselves
    standard = [entry for entry in model.opset_import if not entry.domain]
    del model.opset_import[:]
    model.opset_import.extend(standard)
    model.ir_version = IR_VERSION


def _check_operators(model: onnx.ModelProto, file: str) -> None:
    operators = {(node.domain, node.op_type) for node in model.graph.node}
    if foreign := sorted(f"{domain}.{operator}" for domain, operator in operators if domain):
        raise ExportFailed(f"{file} has operators outside the ONNX standard: {foreign}")
    if random := sorted({operator for _, operator in operators} & _RANDOM_OPERATORS):
        raise ExportFailed(f"{file} draws random numbers: {random}")
