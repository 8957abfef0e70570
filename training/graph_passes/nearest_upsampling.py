"""Nearest resizing by whole numbers, in the terms that runtimes have a fast path for."""

import onnx_ir as ir

from training.graph_passes.editing import constant, inputs_of


def use_plain_nearest_resize(graph: ir.Graph) -> None:
    """Rewrite what tf2onnx calls ``tf_half_pixel_for_nn``, which ONNX has dropped.

    For whole-number scales ``asymmetric`` with ``floor`` picks the same pixels.

    Args:
        graph: Changed in place.
    """
    for node in graph:
        if node.op_type == "Resize" and _enlarges_by_whole_numbers(node):
            for name, mode in (
                ("mode", "nearest"),
                ("coordinate_transformation_mode", "asymmetric"),
                ("nearest_mode", "floor"),
            ):
                node.attributes[name] = ir.AttrString(name, mode)
            node.attributes.pop("exclude_outside", None)


def _enlarges_by_whole_numbers(node: ir.Node) -> bool:
    scales = constant(inputs_of(node, 3)[2])
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    return (
        node.attributes.get_string("mode", "nearest") == "nearest"
        and mode == "tf_half_pixel_for_nn"
        and scales is not None
        and all(scale >= 1 and scale == int(scale) for scale in scales)
    )
