import numpy as np
import onnx
import pytest
import tensorflow as tf

from service.bundle.manifest import GraphSignature, TensorSpec
from service.inference.session import Session
from tests.training.recipes import VARIATIONAL, digits_recipe
from training.data.scaling import Scaling
from training.errors import ExportFailed
from training.export.conversion import export_graph
from training.export.exported_model import ExportedModel
from training.export.fitted_scorer import FittedScorer
from training.export.graph_functions import GraphFunction, graph_functions
from training.export.scorers.reconstruction_error import ReconstructionError
from training.fitting.trained_model import TrainedModel
from training.networks.building import build_autoencoder
from training.tensors import Tensor, ops, to_numpy

ROWS = np.random.default_rng(0).random((9, 8, 8, 1), dtype=np.float32)


def graph_of(function: object, row_shape: tuple[int, ...] = (4, 4, 2)) -> GraphFunction:
    """Wrap a function of one tensor that keeps its shape."""
    spec = TensorSpec(name="inputs", shape=row_shape)
    outputs = (TensorSpec(name="outputs", shape=row_shape),)
    signature = GraphSignature(file="made.onnx", inputs=(spec,), outputs=outputs)
    return GraphFunction("made", signature, lambda rows: (function(rows),))  # pyright: ignore[reportCallIssue]


def test_every_graph_has_a_dynamic_batch_axis_and_standard_operators_only(
    exported: ExportedModel,
) -> None:
    for signature, content in exported.graphs.values():
        model = onnx.load_from_string(content)

        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
        for value in (*model.graph.input, *model.graph.output):
            assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
        assert {value.name for value in model.graph.input} == {t.name for t in signature.inputs}
        assert {value.name for value in model.graph.output} == {t.name for t in signature.outputs}


def test_the_graphs_of_a_model_trained_against_noise_have_none(
    trained: TrainedModel, exported: ExportedModel
) -> None:
    rows = trained.split.test.rows[:5]

    first, again = exported.reconstruct(rows), exported.reconstruct(rows)

    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, to_numpy(trained.autoencoder.reconstruct(rows)), atol=1e-5)


def test_scaling_is_inside_the_graphs() -> None:
    recipe = digits_recipe(corruption=None)
    autoencoder = build_autoencoder(recipe, (8, 8, 1))
    scaling = Scaling(np.array([100.0], np.float32), np.array([50.0], np.float32))
    raw = 100 + 50 * ROWS

    graphs = {
        graph.name: Session(export_graph(graph), graph.signature)
        for graph in graph_functions(
            autoencoder,
            scaling,
            (8, 8, 1),
            [FittedScorer("reconstruction-error", ReconstructionError(), {})],
        )
    }

    (codes,) = graphs["encoder"].run(raw)
    (outputs,) = graphs["decoder"].run(codes)
    scores, feature_scores = graphs["scorer-reconstruction-error"].run(raw)
    scaled = to_numpy(autoencoder.reconstruct(ROWS))
    np.testing.assert_allclose(codes, to_numpy(autoencoder.encode(ROWS)[0]), atol=1e-4)
    np.testing.assert_allclose(outputs, 100 + 50 * scaled, rtol=1e-5)
    np.testing.assert_allclose(feature_scores, (scaled - ROWS) ** 2, atol=1e-5)
    np.testing.assert_allclose(scores, ((scaled - ROWS) ** 2).mean(axis=(1, 2, 3)), atol=1e-5)


def test_a_variational_encoder_gives_means_and_log_variances() -> None:
    autoencoder = build_autoencoder(digits_recipe(**VARIATIONAL), (8, 8, 1))
    scaling = Scaling(np.zeros(1, np.float32), np.ones(1, np.float32))
    encoder = graph_functions(autoencoder, scaling, (8, 8, 1))[0]

    means, log_variances = Session(export_graph(encoder), encoder.signature).run(ROWS)

    expected = autoencoder.encode(ROWS)
    np.testing.assert_allclose(means, to_numpy(expected[0]), atol=1e-5)
    np.testing.assert_allclose(log_variances, to_numpy(expected[1]), atol=1e-5)


def test_nearest_resizing_is_exact_and_has_attributes_that_onnx_still_has() -> None:
    def double_and_halve(rows: Tensor) -> Tensor:
        large = ops.image.resize(rows, (8, 8), interpolation="nearest")
        return ops.max_pool(large, 2)

    graph = graph_of(double_and_halve)
    content = export_graph(graph)
    rows = ROWS.reshape(-1)[:64].reshape(2, 4, 4, 2)

    (found,) = Session(content, graph.signature).run(rows)

    np.testing.assert_array_equal(found, rows)
    (resize,) = [n for n in onnx.load_from_string(content).graph.node if n.op_type == "Resize"]
    modes = {attribute.name: attribute.s for attribute in resize.attribute}
    assert modes["coordinate_transformation_mode"] == b"asymmetric"


def test_a_graph_that_draws_random_numbers_is_rejected() -> None:
    def noisy(rows: Tensor) -> Tensor:
        return rows + tf.random.normal((4, 4, 2))

    with pytest.raises(ExportFailed, match=r"made\.onnx draws random numbers: \['RandomNormal"):
        export_graph(graph_of(noisy))


def test_an_operator_that_onnx_does_not_have_is_rejected() -> None:
    def exotic(rows: Tensor) -> Tensor:
        return tf.math.lgamma(rows)

    with pytest.raises(ExportFailed, match=r"made\.onnx"):
        export_graph(graph_of(exotic))
