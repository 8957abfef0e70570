"""Encoder and decoder as one graph: what a server gets that takes a single ONNX file."""

import onnx
from onnx import compose

from service.bundle.manifest import GraphSignature


def join_graphs(
    encoder: bytes, decoder: bytes, encoding: GraphSignature, decoding: GraphSignature
) -> onnx.ModelProto:
    """Feed the codes of an encoder to a decoder.

    Args:
        encoder: ONNX graph ``inputs -> codes``.
        decoder: ONNX graph ``codes -> outputs``.
        encoding: The encoder's signature.
        decoding: The decoder's signature.

    Returns:
        The graph ``inputs -> outputs``; names inside are prefixed, those two are not.
    """
    first, second = (
        compose.add_prefix(
            onnx.load_from_string(graph), prefix, rename_inputs=False, rename_outputs=False
        )
        for graph, prefix in ((encoder, "encoder_"), (decoder, "decoder_"))
    )
    second.ir_version = first.ir_version = max(first.ir_version, second.ir_version)
    return compose.merge_models(
        first,
        second,
        io_map=[(encoding.outputs[0].name, decoding.inputs[0].name)],
        outputs=[decoding.outputs[0].name],
    )
