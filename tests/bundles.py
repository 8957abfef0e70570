"""Tiny bundles with real ONNX graphs and known weights, and what they must answer in NumPy."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.bundle.manifest import (
    AnomalySpec,
    Capability,
    CodeSpec,
    ColumnSpec,
    DataSpec,
    GraphSignature,
    InputSpec,
    Manifest,
    NoiseSpec,
    PriorSpec,
    PriorsSpec,
    Provenance,
    ScoreSpec,
    TensorSpec,
)
from service.bundle.storage import BundleLocation, publish_bundle

Array = NDArray[np.float32]
Kind = Literal["image", "tabular", "series"]
SCORE = "reconstruction-error"


@dataclass(frozen=True)
class TinyModel:
    """A linear autoencoder whose every answer can be computed by hand.

    codes = flat(x) A (+ conditions C);  outputs = squash(codes B (+ conditions D)), where squash is
    a sigmoid for images and nothing else;  score = mean((outputs - x)^2).
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    encoding: Array  # A: (size, codes)
    decoding: Array  # B: (codes, size)
    calibration_rows: int = 99
    variational: bool = False
    denoises: bool = False
    conditions: tuple[ColumnSpec, ...] | None = None
    columns: tuple[ColumnSpec, ...] | None = None
    report: bytes | None = None

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def code_size(self) -> int:
        return self.encoding.shape[1]

    def rows(self, count: int, seed: int = 0) -> Array:
        """Make rows that the model takes: in [0, 1] for images, near N(0, 1) otherwise."""
        generator = np.random.default_rng(seed)
        if self.kind == "image":
            return generator.random((count, *self.shape), dtype=np.float32)
        return generator.standard_normal((count, *self.shape), dtype=np.float32)

    def encode(self, rows: Array, conditions: Array | None = None) -> Array:
        codes = rows.reshape(len(rows), self.size) @ self.encoding
        return codes if conditions is None else codes + conditions.sum(axis=1, keepdims=True)

    def decode(self, codes: Array, conditions: Array | None = None) -> Array:
        flat = codes @ self.decoding
        if conditions is not None:
            flat = flat + conditions.sum(axis=1, keepdims=True)
        if self.kind == "image":
            flat = 1 / (1 + np.exp(-flat))
        return flat.reshape(len(codes), *self.shape).astype(np.float32)

    def reconstruct(self, rows: Array, conditions: Array | None = None) -> Array:
        return self.decode(self.encode(rows, conditions), conditions)

    def score(self, rows: Array, conditions: Array | None = None) -> Array:
        squares = (self.reconstruct(rows, conditions) - rows) ** 2
        return squares.reshape(len(rows), self.size).mean(axis=1)

    @property
    def calibration(self) -> NDArray[np.float64]:
        return np.sort(self.score(self.rows(self.calibration_rows, seed=7), self._labels(
            self.calibration_rows))).astype(np.float64)  # fmt: skip

    def _labels(self, count: int) -> Array | None:
        if self.conditions is None:
            return None
        return np.zeros((count, len(self.conditions)), np.float32)


def tiny_model(
    name: str = "plane", kind: Kind = "tabular", shape: tuple[int, ...] = (4,), **facts: Any
) -> TinyModel:
    """Make a tiny model with fixed random weights."""
    generator = np.random.default_rng(sum(name.encode()))
    size, codes = prod(shape), facts.pop("code_size", 2)
    encoding = generator.standard_normal((size, codes), dtype=np.float32) / np.float32(size**0.5)
    decoding = generator.standard_normal((codes, size), dtype=np.float32)
    return TinyModel(name, kind, shape, encoding, decoding, **facts)


PLANE = tiny_model()
STAMP = tiny_model("stamp", "image", (6, 4, 1), denoises=True, report=b"<!doctype html><p>Stamp")
WAVE = tiny_model("wave", "series", (8, 1), variational=True)
POSTCARD = tiny_model("postcard", "image", (3, 5, 3))
LABELLED = tiny_model(
    "labelled",
    conditions=(ColumnSpec(name="label", type="categorical", vocabulary=("cat", "dog", 3)),),
)
PEOPLE = tiny_model(
    "people",
    shape=(3,),
    columns=(
        ColumnSpec(name="age", units="years"),
        ColumnSpec(name="member", type="boolean"),
        ColumnSpec(name="city", type="categorical", vocabulary=("Bern", "Oslo")),
    ),
)
TINY_MODELS = (PLANE, STAMP, WAVE, POSTCARD, LABELLED, PEOPLE)


def publish_tiny(
    models_dir: Path, model: TinyModel, files: Mapping[str, bytes] | None = None, **changes: Any
) -> BundleLocation:
    """Publish a tiny model as a bundle.

    ``files`` replace or join its own, ``changes`` replace fields of its manifest.
    """
    manifest = tiny_manifest(model).model_copy(update=changes)
    return publish_bundle(models_dir, manifest, tiny_files(model) | dict(files or {}))


def tiny_manifest(model: TinyModel) -> Manifest:
    """Describe a tiny model as training describes a real one."""
    capabilities: list[Capability] = ["encode", "decode", "reconstruct", "anomaly-score", "sample"]
    if model.denoises:
        capabilities.append("denoise")
    return Manifest.model_construct(
        schema_version="1.0.0",
        digest="0" * 64,
        name=model.name,
        description=f"A tiny {model.kind} model.",
        data=DataSpec(
            name="made up",
            source="tests",
            licence="Apache-2.0",
            attribution="none",
            sha256="0" * 64,
            rows={"train": 1, "validation": 1, "calibration": 99, "test": 1},
        ),
        input=InputSpec(
            kind=model.kind,
            shape=model.shape,
            range=(0.0, 1.0) if model.kind == "image" else None,
            units="none",
            columns=model.columns,
        ),
        code=CodeSpec(shape=(model.code_size,), variational=model.variational),
        conditions=model.conditions,
        graphs=_signatures(model),
        capabilities=tuple(capabilities),
        noise=NoiseSpec(kind="gaussian", level=0.5, description="none really")
        if model.denoises
        else None,
        anomaly=AnomalySpec(
            scores={
                SCORE: ScoreSpec(
                    graph=f"scorer-{SCORE}",
                    description="Mean squared error",
                    units="squared units",
                    calibration_rows=model.calibration_rows,
                )
            },
            default_score=SCORE,
        ),
        priors=PriorsSpec(
            available={
                "standard-normal": PriorSpec(kind="standard-normal", description="N(0, I)"),
                "gaussian-mixture": PriorSpec(
                    kind="gaussian-mixture", description="Two corners", components=2
                ),
            },
            default="gaussian-mixture",
        ),
        metrics=(),
        example=tuple(float(value) for value in model.rows(1).ravel())
        if model.columns is None
        else (40.0, True, "Oslo"),
        provenance=Provenance(
            recipe={},
            seed=0,
            library_versions={},
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            epochs=1,
            training_seconds=0.0,
            parity_error=0.0,
        ),
        files={},
    )


def tiny_files(model: TinyModel) -> dict[str, bytes]:
    """Make every file of a tiny bundle but its manifest."""
    files = {
        "encoder.onnx": _encoder(model),
        "decoder.onnx": _decoder(model),
        f"scorer-{SCORE}.onnx": _scorer(model),
        "calibration.npz": archive({SCORE: model.calibration}),
        "priors.npz": archive(mixture_arrays(model.code_size)),
        "golden.npz": archive(golden_arrays(model)),
    }
    return files | ({"report.html": model.report} if model.report else {})


def mixture_arrays(dimensions: int) -> dict[str, NDArray[np.float64]]:
    """Two narrow components at opposite corners of the code space."""
    return {
        "weights": np.array([0.25, 0.75]),
        "means": np.stack([np.full(dimensions, -2.0), np.full(dimensions, 2.0)]),
        "cholesky": np.stack([0.1 * np.eye(dimensions)] * 2),
    }


def golden_arrays(model: TinyModel) -> dict[str, Array]:
    rows = model.rows(3, seed=11)
    labels = model._labels(3)  # the same module
    codes = model.encode(rows, labels)
    outputs = model.decode(codes, labels)
    squares = (outputs - rows) ** 2
    golden = {
        "encoder/inputs": rows,
        "encoder/codes": codes,
        "decoder/codes": codes,
        "decoder/outputs": outputs,
        f"scorer-{SCORE}/inputs": rows,
        f"scorer-{SCORE}/scores": squares.reshape(3, -1).mean(axis=1),
        f"scorer-{SCORE}/feature_scores": squares,
    }
    if model.variational:
        golden["encoder/log_variances"] = -codes
    if labels is not None:
        golden |= {f"{graph}/conditions": labels for graph in _signatures(model)}
    return golden


def archive(arrays: dict[str, Any]) -> bytes:
    """Write arrays as one ``.npz`` file."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _signatures(model: TinyModel) -> dict[str, GraphSignature]:
    rows = TensorSpec(name="inputs", shape=model.shape)
    codes = TensorSpec(name="codes", shape=(model.code_size,))
    extra = (
        (TensorSpec(name="conditions", shape=(len(model.conditions),)),) if model.conditions else ()
    )
    log_variances = TensorSpec(name="log_variances", shape=(model.code_size,))
    return {
        "encoder": GraphSignature(
            file="encoder.onnx",
            inputs=(rows, *extra),
            outputs=(codes, log_variances) if model.variational else (codes,),
        ),
        "decoder": GraphSignature(
            file="decoder.onnx",
            inputs=(codes, *extra),
            outputs=(TensorSpec(name="outputs", shape=model.shape),),
        ),
        f"scorer-{SCORE}": GraphSignature(
            file=f"scorer-{SCORE}.onnx",
            inputs=(rows, *extra),
            outputs=(
                TensorSpec(name="scores", shape=()),
                TensorSpec(name="feature_scores", shape=model.shape),
            ),
        ),
    }


def _encoder(model: TinyModel) -> bytes:
    nodes = _encoding_nodes(model)
    if model.variational:
        nodes.append(helper.make_node("Neg", ["codes"], ["log_variances"]))
    return _graph(model, "encoder", nodes)


def _decoder(model: TinyModel) -> bytes:
    return _graph(model, "decoder", _decoding_nodes(model, "codes", "outputs"))


def _scorer(model: TinyModel) -> bytes:
    nodes = [
        *_encoding_nodes(model),
        *_decoding_nodes(model, "codes", "outputs"),
        helper.make_node("Sub", ["outputs", "inputs"], ["differences"]),
        helper.make_node("Mul", ["differences", "differences"], ["feature_scores"]),
        helper.make_node("Flatten", ["feature_scores"], ["flat_scores"]),
        helper.make_node("ReduceMean", ["flat_scores", "last_axis"], ["scores"], keepdims=0),
    ]
    return _graph(model, f"scorer-{SCORE}", nodes)


def _encoding_nodes(model: TinyModel) -> list[onnx.NodeProto]:
    own = "own_codes" if model.conditions else "codes"
    nodes = [
        helper.make_node("Flatten", ["inputs"], ["flat"]),
        helper.make_node("MatMul", ["flat", "encoding"], [own]),
    ]
    if model.conditions:
        nodes += [
            helper.make_node("ReduceSum", ["conditions", "last_axis"], ["shift"], keepdims=1),
            helper.make_node("Add", [own, "shift"], ["codes"]),
        ]
    return nodes


def _decoding_nodes(model: TinyModel, codes: str, outputs: str) -> list[onnx.NodeProto]:
    nodes = [helper.make_node("MatMul", [codes, "decoding"], ["decoded_0"])]
    last = "decoded_0"
    if model.conditions:
        nodes += [
            helper.make_node("ReduceSum", ["conditions", "last_axis"], ["shift_2"], keepdims=1),
            helper.make_node("Add", [last, "shift_2"], ["decoded_1"]),
        ]
        last = "decoded_1"
    if model.kind == "image":
        nodes.append(helper.make_node("Sigmoid", [last], ["decoded_2"]))
        last = "decoded_2"
    return [*nodes, helper.make_node("Reshape", [last, "row_shape"], [outputs])]


def _graph(model: TinyModel, name: str, nodes: list[onnx.NodeProto]) -> bytes:
    constants = {
        "encoding": model.encoding,
        "decoding": model.decoding,
        "row_shape": np.array([-1, *model.shape], np.int64),
        "last_axis": np.array([1], np.int64),
    }
    used = {tensor for node in nodes for tensor in node.input}
    signature = _signatures(model)[name]

    def infos(tensors: tuple[TensorSpec, ...]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, ["batch", *tensor.shape])
            for tensor in tensors
        ]

    graph = helper.make_graph(
        nodes,
        name,
        infos(signature.inputs),
        infos(signature.outputs),
        [numpy_helper.from_array(array, key) for key, array in constants.items() if key in used],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return proto.SerializeToString()
