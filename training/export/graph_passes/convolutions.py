"""Convolutions and nearest upsamplings with constant parameters, as rewrites read them."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.editing import Constant, constant, inputs_of, row_shape


@dataclass(frozen=True)
class Convolution:
    """A convolution of images whose kernel is constant.

    Attributes:
        node: In the graph.
        source: Images, (rows, in channels, height, width).
        kernel: Shape (out channels, in channels, height, width).
        bias: Shape (out channels,).
        before: Zeros before the rows and columns of an image.
        after: Zeros after them.
        strides: Steps along height and width.
    """

    node: ir.Node
    source: ir.Value
    kernel: Constant
    bias: Constant
    before: tuple[int, int]
    after: tuple[int, int]
    strides: tuple[int, int]


@dataclass(frozen=True)
class Upsampling:
    """Every pixel repeated along height and width, a whole number of times.

    Attributes:
        node: In the graph.
        source: The images before.
        factor: Repetitions of a pixel along each of the two axes.
    """

    node: ir.Node
    source: ir.Value
    factor: int


def as_convolution(node: ir.Node | None, operator: str = "Conv") -> Convolution | None:
    """Read a node as a convolution, or as its transpose.

    Args:
        node: Any node, or None.
        operator: ``Conv`` or ``ConvTranspose``. Of the latter, kernel axes 0 and 1 are swapped in
            ONNX and here, and ``before`` and ``after`` are cropped.

    Returns:
        None unless it has two spatial axes, constant kernel and bias, explicit padding, and neither
        groups nor dilation.
    """
    if node is None or node.op_type != operator:
        return None
    source, weights, biases = inputs_of(node, 3)
    kernel, bias = constant(weights), constant(biases)
    plain = (
        source is not None
        and kernel is not None
        and kernel.ndim == 4
        and (biases is None or bias is not None)
        and node.attributes.get_int("group", 1) == 1
        and node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
        and set(node.attributes.get_ints("dilations", [1])) == {1}
        and not set(node.attributes.get_ints("output_padding", [0])) - {0}
        and "output_shape" not in node.attributes
    )
    if not plain or source is None or kernel is None:
        return None
    top, left, bottom, right = node.attributes.get_ints("pads", [0, 0, 0, 0])
    down, along = node.attributes.get_ints("strides", [1, 1])
    filters = kernel.shape[0 if operator == "Conv" else 1]
    return Convolution(
        node=node,
        source=source,
        kernel=kernel,
        bias=np.zeros(filters, np.float32) if bias is None else bias,
        before=(top, left),
        after=(bottom, right),
        strides=(down, along),
    )


def as_upsampling(node: ir.Node | None) -> Upsampling | None:
    """Read a node as nearest upsampling of images by one integer, in standard attributes."""
    if node is None or node.op_type != "Resize" or row_shape(node.outputs[0]) is None:
        return None
    source, _, scale_values, _ = inputs_of(node, 4)
    scales = constant(scale_values)
    modes = (
        node.attributes.get_string("mode", "nearest"),
        node.attributes.get_string("coordinate_transformation_mode", "half_pixel"),
        node.attributes.get_string("nearest_mode", "round_prefer_floor"),
    )
    if source is None or scales is None or scales.shape != (4,) or "axes" in node.attributes:
        return None
    if modes != ("nearest", "asymmetric", "floor") or scales[2] != int(scales[2]):
        return None
    if list(scales) != [1, 1, scales[2], scales[2]] or scales[2] < 2:
        return None
    return Upsampling(node, source, int(scales[2]))
