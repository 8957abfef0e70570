"""From an autoencoder to the ONNX graphs of a bundle: traced, converted, simplified, checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import onnxslim
import tensorflow as tf
import tf2onnx

from service.bundle.manifest import DECODER, ENCODER, GraphSignature, Name, TensorSpec
from training.architectures.autoencoder import Autoencoder
from training.errors import ExportFailed
from training.graph_passes.optimization import normalize, optimize
from training.preprocessing import Scaling
from training.scorers import scorer_graph_name, scorer_named
from training.tensors import Tensor

OPSET = 18
IR_VERSION = 8  # the one that came with opset 18: older runtimes refuse later ones unread
BATCH_AXIS = "batch"
CONDITIONS = TensorSpec(name="conditions", shape=(1,))

_RANDOM_OPERATORS = {
    *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
    *("RandomUniform", "RandomUniformLike"),
}


@dataclass(frozen=True)
class GraphFunction:
    """What a graph is to compute, in Keras.

    Attributes:
        name: ``encoder``, ``decoder`` or ``scorer-<score>``.
        signature: Names and shapes of its inputs and outputs: rows or codes and, of a
            conditional model, conditions.
        function: The inputs, each (rows, ...), to the outputs, both in the signature's order.
    """

    name: str
    signature: GraphSignature
    function: Callable[..., tuple[Tensor, ...]]


def graph_functions(
    autoencoder: Autoencoder, scaling: Scaling, row_shape: Sequence[int], scores: Sequence[Name]
) -> list[GraphFunction]:
    """Write down every graph of a bundle as a function of a client's raw units.

    Args:
        autoencoder: The trained model.
        scaling: Goes into the graphs, in front of the encoder and behind the decoder.
        row_shape: Shape of one raw row.
        scores: Names of the scores.

    Returns:
        Encoder, decoder, then one scorer per score.

    Raises:
        RecipeError: There is no score of that name.
    """
    rows = TensorSpec(name="inputs", shape=tuple(row_shape))
    codes = TensorSpec(name="codes", shape=autoencoder.code_shape)
    log_variances = TensorSpec(name="log_variances", shape=autoencoder.code_shape)
    encodings = (codes, log_variances) if autoencoder.variational else (codes,)
    encoder = GraphFunction(
        ENCODER,
        _signature(ENCODER, rows, encodings, conditional=autoencoder.encoder_takes_conditions),
        lambda inputs, conditions=None: autoencoder.encode(scaling.scale(inputs), conditions),
    )
    outputs = [TensorSpec(name="outputs", shape=rows.shape)]
    decoder = GraphFunction(
        DECODER,
        _signature(DECODER, codes, outputs, conditional=autoencoder.decoder_takes_conditions),
        lambda codes, conditions=None: (scaling.unscale(autoencoder.decode(codes, conditions)),),
    )
    scorers = [_scorer_function(autoencoder, scaling, rows, score) for score in scores]
    return [encoder, decoder, *scorers]


def _scorer_function(
    autoencoder: Autoencoder, scaling: Scaling, rows: TensorSpec, score: Name
) -> GraphFunction:
    scorer = scorer_named(score)
    outputs = [
        TensorSpec(name="scores", shape=()),
        TensorSpec(name="feature_scores", shape=rows.shape),
    ]
    return GraphFunction(
        scorer_graph_name(score),
        _signature(
            scorer_graph_name(score),
            rows,
            outputs,
            conditional=autoencoder.encoder_takes_conditions
            or autoencoder.decoder_takes_conditions,
        ),
        lambda inputs, conditions=None: scorer.score(
            autoencoder, scaling.scale(inputs), conditions
        ),
    )


def _signature(
    name: str, source: TensorSpec, outputs: Sequence[TensorSpec], *, conditional: bool
) -> GraphSignature:
    inputs = (source, CONDITIONS) if conditional else (source,)
    return GraphSignature(file=f"{name}.onnx", inputs=inputs, outputs=tuple(outputs))


def export_graph(graph: GraphFunction) -> bytes:
    """Turn a Keras function into an ONNX graph that any provider can load.

    Args:
        graph: The function and the signature that the graph will have.

    Returns:
        ONNX bytes: opset 18, standard operators only, a dynamic first axis named ``batch``.

    Raises:
        ExportFailed: The graph draws random numbers, needs operators of another domain, or is
            not valid ONNX.
    """
    model: Any = convert_graph(graph)
    # Before simplification, which draws random numbers once and keeps them as constants.
    _refuse_foreign_operators(model, graph.signature.file)
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
    """Let tf2onnx convert a function, and leave what it makes as it is.

    Args:
        graph: The function and its signature.

    Returns:
        The graph, with operators of TensorFlow where tf2onnx knows no others.

    Raises:
        ExportFailed: tf2onnx gives up.
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
    del graph.value_info[:]  # others' names for the batch axis; runtimes infer shapes themselves
    standard = [entry for entry in model.opset_import if not entry.domain]
    del model.opset_import[:]
    model.opset_import.extend(standard)
    model.ir_version = IR_VERSION


def _refuse_foreign_operators(model: onnx.ModelProto, file: str) -> None:
    operators = {(node.domain, node.op_type) for node in model.graph.node}
    if foreign := sorted(f"{domain}.{operator}" for domain, operator in operators if domain):
        raise ExportFailed(f"{file} needs operators outside the ONNX standard: {foreign}")
    if random := sorted({operator for _, operator in operators} & _RANDOM_OPERATORS):
        raise ExportFailed(f"{file} draws random numbers: {random}")
