"""The graphs of a bundle as Keras functions, before conversion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.bundle.manifest import DECODER, ENCODER, GraphSignature, TensorSpec
from training.data.scaling import Scaling
from training.export.fitted_scorer import FittedScorer
from training.networks.autoencoder import Autoencoder
from training.tensors import Tensor

CONDITIONS = TensorSpec(name="conditions", shape=(1,))


@dataclass(frozen=True)
class GraphFunction:
    """One graph as a Keras function.

    Attributes:
        name: ``encoder``, ``decoder`` or ``scorer-<score>``.
        signature: Names and shapes of inputs and outputs.
        function: From inputs to outputs, each (rows, ...), in the signature's order.
    """

    name: str
    signature: GraphSignature
    function: Callable[..., tuple[Tensor, ...]]


def graph_functions(
    autoencoder: Autoencoder,
    scaling: Scaling,
    row_shape: Sequence[int],
    scorers: Sequence[FittedScorer] = (),
) -> list[GraphFunction]:
    """Define every graph of a bundle as a function of rows in raw units.

    Args:
        autoencoder: The trained model.
        scaling: Part of the graphs: before the encoder, and inverted after the decoder.
        row_shape: Shape of one raw row.
        scorers: The scores of the bundle.

    Returns:
        Encoder, decoder, then one scorer per score.
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
    scores = [_scorer_function(autoencoder, scaling, rows, scorer) for scorer in scorers]
    return [encoder, decoder, *scores]


def _scorer_function(
    autoencoder: Autoencoder, scaling: Scaling, rows: TensorSpec, scorer: FittedScorer
) -> GraphFunction:
    outputs = [
        TensorSpec(name="scores", shape=()),
        TensorSpec(name="feature_scores", shape=rows.shape),
    ]
    return GraphFunction(
        scorer.graph_name,
        _signature(
            scorer.graph_name,
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
