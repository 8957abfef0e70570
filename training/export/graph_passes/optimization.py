"""The rewrites of an exported graph in their order, before and after simplification."""

from collections.abc import Callable, Iterable

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from training.export.graph_passes.axis_orders import (
    merge_reshapes,
    reorder_dense_weights,
    reshape_single_channels,
)
from training.export.graph_passes.complementary_error_function import write_erfc_as_erf
from training.export.graph_passes.constant_factors import fold_constant_factors
from training.export.graph_passes.constant_shapes import (
    spread_constants_over_rows,
    write_filled_tensors_as_rows,
    write_shapes_of_dense_inputs,
)
from training.export.graph_passes.dense_layers import join_products_and_biases
from training.export.graph_passes.narrow_convolutions import transpose_narrow_convolutions
from training.export.graph_passes.nearest_upsampling import use_plain_nearest_resize
from training.export.graph_passes.recurrent_states import leave_out_zero_states, take_last_state
from training.export.graph_passes.upsampling_phases import convolve_before_upsampling

Rewrite = Callable[[ir.Graph], None]

# Replace what tf2onnx writes that is not valid ONNX.
NORMALIZATIONS: tuple[Rewrite, ...] = (write_erfc_as_erf, use_plain_nearest_resize)

# Each applies where it recognizes a whole pattern, and leaves the rest unchanged.
OPTIMIZATIONS: tuple[Rewrite, ...] = (
    leave_out_zero_states,
    take_last_state,
    write_filled_tensors_as_rows,
    write_shapes_of_dense_inputs,
    use_plain_nearest_resize,
    join_products_and_biases,
    fold_constant_factors,
    reshape_single_channels,
    reorder_dense_weights,
    merge_reshapes,
    transpose_narrow_convolutions,
    convolve_before_upsampling,
    spread_constants_over_rows,
)


def normalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite a converted graph in standard ONNX.

    Args:
        model: As returned by tf2onnx; not changed.
    """
    return rewritten(model, NORMALIZATIONS)


def optimize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite a graph into one that computes the same and runs faster.

    Args:
        model: Valid, with static shapes after the batch axis; not changed.
    """
    return rewritten(model, OPTIMIZATIONS)


def rewritten(model: onnx.ModelProto, rewrites: Iterable[Rewrite]) -> onnx.ModelProto:
    """Apply rewrites in order, with shapes inferred before and unused nodes removed after each.

    Args:
        model: Not changed.
        rewrites: Functions that change a graph in place.
    """
    intermediate = ir.from_proto(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(intermediate)
    for rewrite in rewrites:
        common.ShapeInferencePass()(intermediate)
        rewrite(intermediate.graph)
        common.RemoveUnusedNodesPass()(intermediate)
    return ir.to_proto(intermediate)
