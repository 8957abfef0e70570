"""Convolutions to a few channels, rewritten as transposed convolutions.

onnxruntime computes convolutions in blocks of 8 or 16 output channels: one channel costs as much as
sixteen. A transposed convolution is a matrix product over the input channels and a scattered sum,
without unused channels. It includes an upsampling before it at no cost: nearest upsampling and
convolution are a transposed convolution with a stride.
"""

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.convolutions import (
    Convolution,
    Upsampling,
    as_convolution,
    as_upsampling,
)
from training.export.graph_passes.editing import Constant, Replacement, producer

# Faster in all measured cases: kernels of 2x2 to 7x7, 1 row and 64 (benchmarks/RESULTS.md).
MAX_FILTERS = 4
MIN_CHANNELS = 8


def transpose_narrow_convolutions(graph: ir.Graph) -> None:
    """Rewrite every ``[upsampling ->] convolution`` to a few channels.

    Args:
        graph: Changed in place.
    """
    for node in list(graph):
        convolution = as_convolution(node)
        if convolution is None:
            continue
        upsampling = as_upsampling(producer(convolution.source, "Resize"))
        if _is_faster(convolution):
            _transpose(graph, convolution, upsampling)


def _is_faster(convolution: Convolution) -> bool:
    filters, channels, *window = convolution.kernel.shape
    padding = (*convolution.before, *convolution.after)
    return (
        filters <= MAX_FILTERS
        and channels >= MIN_CHANNELS
        and min(window) > 1
        and convolution.strides == (1, 1)
        # A transposed convolution can crop its output, but not pad it.
        and all(zeros < size for zeros, size in zip(padding, window * 2, strict=True))
    )


def _transpose(graph: ir.Graph, convolution: Convolution, upsampling: Upsampling | None) -> None:
    factor = upsampling.factor if upsampling else 1
    height, width = convolution.kernel.shape[2:]
    new = Replacement(graph)
    computed = new.node(
        "ConvTranspose",
        upsampling.source if upsampling else convolution.source,
        transposed_kernel(convolution.kernel, factor),
        convolution.bias,
        strides=[factor, factor],
        pads=[
            *(height - 1 - convolution.before[0], width - 1 - convolution.before[1]),
            *(height - 1 - convolution.after[0], width - 1 - convolution.after[1]),
        ],
    )
    old = [upsampling.node] if upsampling else []
    new.replace([*old, convolution.node], computed)


def transposed_kernel(kernel: Constant, factor: int) -> Constant:
    """Return the kernel of the transposed convolution that upsamples and convolves.

    Each copy of a pixel adds the mirrored kernel around it; copies are adjacent.

    Args:
        kernel: Of the convolution, (out channels, in channels, height, width).
        factor: Repetitions of a pixel along each axis; 1 without upsampling.

    Returns:
        Shape (in channels, out channels, height + factor - 1, width + factor - 1).
    """
    mirrored = kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).astype(np.float64)
    height, width = kernel.shape[2:]
    spread = np.zeros((*mirrored.shape[:2], height + factor - 1, width + factor - 1))
    for down in range(factor):
        for along in range(factor):
            spread[:, :, down : down + height, along : along + width] += mirrored
    return spread.astype(kernel.dtype)
