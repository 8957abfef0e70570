import numpy as np
import pytest
from onnx import helper

from tests.training.export.graph_passes.made_graphs import (
    answers,
    made_graph,
    normal,
    operators,
    rewritten_equal,
)
from training.export.graph_passes.complementary_error_function import write_erfc_as_erf
from training.export.graph_passes.nearest_upsampling import use_plain_nearest_resize
from training.export.graph_passes.optimization import rewritten


def test_erfc_becomes_erf() -> None:
    model = made_graph([helper.make_node("Erf", ["inputs"], ["outputs"])], (3,), {})
    model.graph.node[0].op_type = "Erfc"

    after = rewritten(model, [write_erfc_as_erf])

    (found,) = answers(after, np.array([[0.0, 1.0, -1.0]], np.float32))
    np.testing.assert_allclose(found, [[1.0, 0.157299, 1.842701]], atol=1e-6)


@pytest.mark.parametrize("factor", [2, 3])
def test_resizing_as_tensorflow_names_it_is_written_as_onnx_names_it(factor: int) -> None:
    resize = helper.make_node(
        "Resize",
        ["inputs", "", "scales"],
        ["outputs"],
        mode="nearest",
        coordinate_transformation_mode="tf_half_pixel_for_nn",
        nearest_mode="floor",
        exclude_outside=0,
    )
    scales = np.array([1, 1, factor, factor], np.float32)
    model = made_graph([resize], (2, 3, 4), {"scales": scales})

    after = rewritten_equal(model, use_plain_nearest_resize)

    (node,) = after.graph.node
    modes = {attribute.name: attribute.s for attribute in node.attribute}
    assert modes["coordinate_transformation_mode"] == b"asymmetric"
    rows = normal(1, 2, 3, 4)
    (found,) = answers(after, rows)
    np.testing.assert_array_equal(found, rows.repeat(factor, axis=2).repeat(factor, axis=3))


@pytest.mark.parametrize(
    ("scale", "mode"),
    [(1.5, "tf_half_pixel_for_nn"), (0.5, "tf_half_pixel_for_nn"), (2.0, "half_pixel")],
)
def test_resizing_that_picks_other_pixels_is_left_alone(scale: float, mode: str) -> None:
    resize = helper.make_node(
        "Resize",
        ["inputs", "", "scales"],
        ["outputs"],
        mode="nearest",
        coordinate_transformation_mode=mode,
        nearest_mode="floor",
    )
    scales = np.array([1, 1, scale, scale], np.float32)
    model = made_graph([resize], (2, 4, 4), {"scales": scales})

    after = rewritten_equal(model, use_plain_nearest_resize)

    assert operators(after) == {"Resize": 1}
    modes = {attribute.name: attribute.s for attribute in after.graph.node[0].attribute}
    assert modes["coordinate_transformation_mode"].decode() == mode


def test_sizes_that_are_computed_from_the_batch_become_scales() -> None:
    nodes = [
        helper.make_node("Shape", ["inputs"], ["shape"], end=2),
        helper.make_node("Concat", ["shape", "size"], ["sizes"], axis=0),
        helper.make_node(
            "Resize",
            ["inputs", "", "", "sizes"],
            ["outputs"],
            mode="nearest",
            coordinate_transformation_mode="tf_half_pixel_for_nn",
            nearest_mode="floor",
        ),
    ]
    model = made_graph(nodes, (2, 3, 4), {"size": np.array([6, 12])})

    after = rewritten_equal(model, use_plain_nearest_resize)

    assert operators(after) == {"Resize": 1}
    rows = normal(1, 2, 3, 4)
    (found,) = answers(after, rows)
    np.testing.assert_array_equal(found, rows.repeat(2, axis=2).repeat(3, axis=3))
