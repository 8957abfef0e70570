"""Nearest resizing by integers, in the attributes that runtimes have a fast path for."""

import numpy as np
import onnx_ir as ir

from training.export.graph_passes.editing import constant, inputs_of, new_constant, row_shape

_MODES = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}


def use_plain_nearest_resize(graph: ir.Graph) -> None:
    """Rewrite the mode ``tf_half_pixel_for_nn`` of tf2onnx, which ONNX no longer has.

    For integer scales ``asymmetric`` with ``floor`` picks the same pixels. Sizes that are computed
    from the batch become constant scales.

    Args:
        graph: Changed in place; its shapes must have been inferred.
    """
    for node in graph:
        scales = _whole_scales(node) if node.op_type == "Resize" else None
        if scales is not None and _picks_as_tensorflow_does(node):
            node.resize_inputs(3)
            node.replace_input_with(2, new_constant(graph, np.array(scales, np.float32)))
            for name, mode in _MODES.items():
                node.attributes[name] = ir.AttrString(name, mode)
            node.attributes.pop("exclude_outside", None)


def _whole_scales(resize: ir.Node) -> list[int] | None:
    scales = constant(inputs_of(resize, 3)[2])
    if scales is None or not scales.size:
        before, after = row_shape(resize.inputs[0]), row_shape(resize.outputs[0])
        if before is None or after is None or "axes" in resize.attributes:
            return None
        scales = np.array([1, *np.divide(after, before)])
    whole = all(scale >= 1 and scale == int(scale) for scale in scales)
    return [int(scale) for scale in scales] if whole else None


def _picks_as_tensorflow_does(resize: ir.Node) -> bool:
    return (
        resize.attributes.get_string("mode", "nearest") == "nearest"
        and resize.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        == "tf_half_pixel_for_nn"
    )
