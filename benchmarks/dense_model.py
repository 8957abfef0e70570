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

from service.bundle.manifest import (
    CodeSpec,
    DataSpec,
    GraphSignature,
    InputSpec,
    Manifest,
    Provenance,
    TensorSpec,
)
from service.bundle.storage import BundleLocation, publish_bundle
from service.inference.session import Session

NAME = "benchmark-dense"
ENCODER_UNITS = (784, 128, 64, 32)
DECODER_UNITS = (32, 64, 128, 784)


def publish_dense_model(models_dir: Path) -> BundleLocation:
    """Publish the model as a bundle.

    Args:
        models_dir: The folder to publish into.
    """
    signatures = {
        "encoder": _signature("encoder", ("inputs", 784), ("codes", 32)),
        "decoder": _signature("decoder", ("codes", 32), ("outputs", 784)),
    }
    graphs = {
        "encoder": _dense_graph(ENCODER_UNITS, "inputs", "codes", last="Identity"),
        "decoder": _dense_graph(DECODER_UNITS, "codes", "outputs", last="Sigmoid"),
    }
    files = {f"{name}.onnx": graph for name, graph in graphs.items()}
    rows = np.random.default_rng(1).random((2, 784), dtype=np.float32)
    (codes,) = Session(graphs["encoder"], signatures["encoder"]).run(rows)
    (outputs,) = Session(graphs["decoder"], signatures["decoder"]).run(codes)
    golden = io.BytesIO()
    vectors: dict[str, Any] = {
        "encoder/inputs": rows,
        "encoder/codes": codes,
        "decoder/codes": codes,
        "decoder/outputs": outputs,
    }
    np.savez(golden, **vectors)
    files["golden.npz"] = golden.getvalue()
    return publish_bundle(models_dir, _manifest(signatures), files)


def _signature(name: str, taken: tuple[str, int], given: tuple[str, int]) -> GraphSignature:
    return GraphSignature(
        file=f"{name}.onnx",
        inputs=(TensorSpec(name=taken[0], shape=(taken[1],)),),
        outputs=(TensorSpec(name=given[0], shape=(given[1],)),),
    )


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
        capabilities=("encode", "decode", "reconstruct"),
        noise=None,
        anomaly=None,
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
