"""Upsampling and a convolution, computed at the low resolution as one convolution per phase.

Copies of one pixel are multiplied with several weights of a kernel, which can be summed beforehand.
After upsampling by 2, output pixels have four phases, (even, odd) by (even, odd), and a 3x3 kernel
becomes a 2x2 kernel for each: 2.25 times fewer products. The phases are channels of an image of the
low resolution.

Interleaving the phases costs more than it saves on onnxruntime, which stores channels in blocks. So
the rewrite applies only before a transposed convolution, which can read phases from channels.

Source: Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network, CVPR 2016 (phases as channels).
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.convolutions import (
    Convolution,
    Upsampling,
    as_convolution,
    as_upsampling,
)
from training.export.graph_passes.editing import (
    ELEMENTWISE_ACTIVATIONS,
    Constant,
    Replacement,
    producer,
    row_shape,
)


@dataclass(frozen=True)
class _Chain:
    """``upsampling -> convolution -> activations -> transposed convolution``."""

    upsampling: Upsampling
    convolution: Convolution
    activations: list[ir.Node]
    transposed: Convolution

    def nodes(self) -> list[ir.Node]:
        return [
            self.upsampling.node,
            self.convolution.node,
            *self.activations,
            self.transposed.node,
        ]


def convolve_before_upsampling(graph: ir.Graph) -> None:
    """Rewrite every chain that needs fewer products this way.

    Args:
        graph: Changed in place; its shapes must have been inferred.
    """
    for node in list(graph):
        chain = _chain_from(node)
        if chain is not None and _fits(chain) and _products_after(chain) < _products_before(chain):
            _rewrite(graph, chain)


def phase_kernel(kernel: Constant, factor: int) -> Constant:
    """Sum the weights that are multiplied with copies of one pixel.

    Args:
        kernel: Shape (out channels, in channels, height, width), for the upsampled image.
        factor: Repetitions of a pixel along each axis.

    Returns:
        Shape (out channels, factor, factor, in channels, h, w): a kernel for the low resolution
        per phase along height and per phase along width.
    """
    filters, channels, height, width = kernel.shape
    small = (_phase_window(height, factor), _phase_window(width, factor))
    phases = np.zeros((filters, factor, factor, channels, *small))
    for down in range(factor):
        for along in range(factor):
            for y in range(height):
                for x in range(width):
                    place = (down + y) // factor, (along + x) // factor
                    phases[:, down, along, :, place[0], place[1]] += kernel[:, :, y, x]
    return phases.astype(kernel.dtype)


def phase_channels_kernel(kernel: Constant, strides: tuple[int, int], factor: int) -> Constant:
    """Return the kernel of a transposed convolution that reads phases from channels.

    Args:
        kernel: Shape (in channels, out channels, height, width), for an image of pixels.
        strides: Of the transposed convolution.
        factor: Phases along each axis.

    Returns:
        Shape (in channels * factor ** 2, out channels, h, w), for an image of phases; its strides
        are ``factor`` times as long.
    """
    channels, filters, height, width = kernel.shape
    reach = (factor - 1) * strides[0], (factor - 1) * strides[1]
    spread = np.zeros(
        (channels, factor, factor, filters, height + reach[0], width + reach[1]), kernel.dtype
    )
    for down in range(factor):
        for along in range(factor):
            y, x = down * strides[0], along * strides[1]
            spread[:, down, along, :, y : y + height, x : x + width] = kernel
    return spread.reshape(-1, *spread.shape[3:])


def _phase_window(size: int, factor: int) -> int:
    return (size + factor - 2) // factor + 1


def _chain_from(node: ir.Node) -> _Chain | None:
    transposed = as_convolution(node, "ConvTranspose")
    if transposed is None:
        return None
    activations: list[ir.Node] = []
    value = transposed.source
    while (activation := producer(value, *ELEMENTWISE_ACTIVATIONS)) is not None:
        activations.insert(0, activation)
        (value,) = (i for i in activation.inputs if i is not None)
    convolution = as_convolution(producer(value, "Conv"))
    if convolution is None or convolution.strides != (1, 1):
        return None
    upsampling = as_upsampling(producer(convolution.source, "Resize"))
    return upsampling and _Chain(upsampling, convolution, activations, transposed)


def _fits(chain: _Chain) -> bool:
    """Say whether the phases make up the picture exactly, with nothing to cut off."""
    source = row_shape(chain.upsampling.source)
    result = row_shape(chain.convolution.node.outputs[0])
    factor = chain.upsampling.factor
    return (
        source is not None
        and result is not None
        and all(zeros % factor == 0 for zeros in chain.convolution.before)
        and all(size % factor == 0 for size in result[1:])
        and all(zeros >= 0 for zeros in _zeros_after(chain))
    )


def _zeros_after(chain: _Chain) -> tuple[int, int]:
    """Return the number of zeros after rows and columns at the low resolution."""
    factor, kernel = chain.upsampling.factor, chain.convolution.kernel
    sizes = row_shape(chain.upsampling.source), row_shape(chain.convolution.node.outputs[0])
    if sizes[0] is None or sizes[1] is None:
        return -1, -1
    zeros = [
        sizes[1][1 + axis] // factor
        + _phase_window(kernel.shape[2 + axis], factor)
        - 1
        - sizes[0][1 + axis]
        - chain.convolution.before[axis] // factor
        for axis in (0, 1)
    ]
    return zeros[0], zeros[1]


def _products_before(chain: _Chain) -> int:
    pixels = math.prod((row_shape(chain.convolution.node.outputs[0]) or ())[1:])
    return pixels * (chain.convolution.kernel.size + chain.transposed.kernel.size)


def _products_after(chain: _Chain) -> int:
    factor = chain.upsampling.factor
    pixels = math.prod((row_shape(chain.convolution.node.outputs[0]) or ())[1:]) // factor**2
    kernels = (
        phase_kernel(chain.convolution.kernel, factor),
        phase_channels_kernel(chain.transposed.kernel, chain.transposed.strides, factor),
    )
    return pixels * sum(kernel.size for kernel in kernels)


def _rewrite(graph: ir.Graph, chain: _Chain) -> None:
    factor, convolution, transposed = chain.upsampling.factor, chain.convolution, chain.transposed
    phases = phase_kernel(convolution.kernel, factor)
    new = Replacement(graph)
    value = new.node(
        "Conv",
        chain.upsampling.source,
        phases.reshape(-1, *phases.shape[3:]),
        np.repeat(convolution.bias, factor**2),
        pads=[*(zeros // factor for zeros in convolution.before), *_zeros_after(chain)],
    )
    for activation in chain.activations:
        attributes = {name: attribute.value for name, attribute in activation.attributes.items()}
        value = new.node(activation.op_type, value, **attributes)
    value = new.node(
        "ConvTranspose",
        value,
        phase_channels_kernel(transposed.kernel, transposed.strides, factor),
        transposed.bias,
        strides=[factor * stride for stride in transposed.strides],
        pads=[*transposed.before, *transposed.after],
    )
    new.replace(chain.nodes(), value)
