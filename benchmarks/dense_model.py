"""The dense autoencoder that serving is measured with: 784-128-64-32-64-128-784, random weights.

Speed does not depend on what the weights are; this needs no training and no data.
"""

import io
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.reconstruction_graph import join_graphs
from service.arrays import FloatArray
from service.bundle.manifest import (
    CALIBRATION_FILE,
    DECODER,
    ENCODER,
    GOLDEN_FILE,
    AnomalySpec,
    CodeSpec,
    DataSpec,
    GraphSignature,
    InputSpec,
    Manifest,
    Provenance,
    ScoreSpec,
    TensorSpec,
)
from service.bundle.storage import BundleLocation, publish_bundle
from service.inference.session import Session

NAME = "benchmark-dense"
SCORE = "reconstruction-error"
SCORER = f"scorer-{SCORE}"
CALIBRATION_ROWS = 1000
ENCODER_UNITS = (784, 128, 64, 32)
DECODER_UNITS = (32, 64, 128, 784)


def publish_dense_model(models_dir: Path) -> BundleLocation:
    """Publish the model as a bundle.

    Args:
        models_dir: The folder to publish into.
    """
    row, code = TensorSpec(name="inputs", shape=(784,)), TensorSpec(name="codes", shape=(32,))
    outputs = TensorSpec(name="outputs", shape=(784,))
    scores = (
        TensorSpec(name="scores", shape=()),
        TensorSpec(name="feature_scores", shape=(784,)),
    )
    signatures = {
        ENCODER: GraphSignature(file="encoder.onnx", inputs=(row,), outputs=(code,)),
        DECODER: GraphSignature(file="decoder.onnx", inputs=(code,), outputs=(outputs,)),
        SCORER: GraphSignature(file=f"{SCORER}.onnx", inputs=(row,), outputs=scores),
    }
    encoder = _dense_graph(ENCODER_UNITS, "inputs", "codes", last="Identity")
    decoder = _dense_graph(DECODER_UNITS, "codes", "outputs", last="Sigmoid")
    joined = join_graphs(encoder, decoder, signatures[ENCODER], signatures[DECODER])
    graphs = {ENCODER: encoder, DECODER: decoder, SCORER: _scoring_graph(joined)}
    rows = np.random.default_rng(1).random((CALIBRATION_ROWS, 784), dtype=np.float32)
    (calibration, _) = Session(graphs[SCORER], signatures[SCORER]).run(rows)
    files = {
        **{f"{name}.onnx": graph for name, graph in graphs.items()},
        CALIBRATION_FILE: _archive({SCORE: np.sort(calibration).astype(np.float64)}),
        GOLDEN_FILE: _archive(_golden(graphs, signatures, rows[:2])),
    }
    return publish_bundle(models_dir, _manifest(signatures), files)


def _golden(
    graphs: dict[str, bytes], signatures: dict[str, GraphSignature], rows: FloatArray
) -> dict[str, FloatArray]:
    vectors: dict[str, FloatArray] = {}
    taken = rows
    for name in (ENCODER, DECODER, SCORER):
        taken = rows if name == SCORER else taken
        answers = Session(graphs[name], signatures[name]).run(taken)
        vectors[f"{name}/{signatures[name].inputs[0].name}"] = taken
        for tensor, answer in zip(signatures[name].outputs, answers, strict=True):
            vectors[f"{name}/{tensor.name}"] = answer
        taken = answers[0]
    return vectors


def _archive(arrays: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _scoring_graph(reconstruction: onnx.ModelProto) -> bytes:
    """Compare inputs with outputs: squared differences, and their mean in each row."""
    graph = reconstruction.graph
    graph.node.extend(
        [
            helper.make_node("Sub", ["outputs", "inputs"], ["differences"]),
            helper.make_node("Mul", ["differences", "differences"], ["feature_scores"]),
            helper.make_node("ReduceMean", ["feature_scores", "feature_axis"], ["scores"],
                             keepdims=0),
        ]
    )  # fmt: skip
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "feature_axis"))
    del graph.output[:]
    graph.output.extend(
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch"]),
            helper.make_tensor_value_info("feature_scores", TensorProto.FLOAT, ["batch", 784]),
        ]
    )
    return reconstruction.SerializeToString()


def _dense_graph(units: tuple[int, ...], taken: str, given: str, last: str) -> bytes:
    generator = np.random.default_rng(sum(units))
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    tensor = taken
    for layer, (width_in, width_out) in enumerate(pairwise(units)):
        kernel = generator.standard_normal((width_in, width_out), dtype=np.float32)
        weights.append(numpy_helper.from_array(kernel * (2 / width_in) ** 0.5, f"kernel_{layer}"))
        weights.append(numpy_helper.from_array(np.zeros(width_out, np.float32), f"bias_{layer}"))
        is_last = layer == len(units) - 2
        activated = given if is_last else f"activated_{layer}"
        nodes.append(
            helper.make_node("Gemm", [tensor, f"kernel_{layer}", f"bias_{layer}"], [f"sum_{layer}"])
        )
        nodes.append(helper.make_node(last if is_last else "Relu", [f"sum_{layer}"], [activated]))
        tensor = activated
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info(taken, TensorProto.FLOAT, ["batch", units[0]])],
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, ["batch", units[-1]])],
        weights,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return proto.SerializeToString()


def _manifest(signatures: dict[str, GraphSignature]) -> Manifest:
    return Manifest.model_construct(
        schema_version="1.0.0",
        digest="0" * 64,
        name=NAME,
        description="Dense autoencoder with random weights, for benchmarks.",
        data=DataSpec(
            name="none",
            source="none",
            licence="Apache-2.0",
            attribution="none",
            sha256="0" * 64,
            rows={},
        ),
        input=InputSpec(kind="tabular", shape=(784,), units="none"),
        code=CodeSpec(shape=(32,)),
        conditions=None,
        graphs=signatures,
        capabilities=("encode", "decode", "reconstruct", "anomaly-score"),
        noise=None,
        anomaly=AnomalySpec(
            scores={
                SCORE: ScoreSpec(
                    graph=SCORER,
                    description="Mean squared difference between a row and its reconstruction.",
                    units="none",
                    calibration_rows=CALIBRATION_ROWS,
                )
            },
            default_score=SCORE,
        ),
        priors=None,
        metrics=(),
        example=(0.5,) * 784,
        provenance=Provenance(
            recipe={},
            seed=0,
            library_versions={},
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            epochs=0,
            training_seconds=0.0,
            parity_error=0.0,
        ),
        files={},
    )
