"""The manifest of a bundle, from a trained, exported and assessed model."""

import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from service.bundle.manifest import (
    SCHEMA_VERSION,
    AnomalySpec,
    Capability,
    CodeSpec,
    ColumnSpec,
    DataSpec,
    InputSpec,
    Manifest,
    Name,
    NoiseSpec,
    PriorSpec,
    PriorsSpec,
    Provenance,
    ScoreSpec,
)
from training.arrays import FloatArray, Scores
from training.evaluation.assessment import Assessment
from training.evaluation.priors import GAUSSIAN_MIXTURE, STANDARD_NORMAL, default_prior
from training.export.code_density import CodeDensity
from training.export.exported_model import ExportedModel
from training.export.scorer_registry import scorer_graph_name, scorer_named
from training.fitting.trained_model import TrainedModel
from training.recipe.corruption import CorruptionPart, GaussianCorruption
from training.recipe.recipe import Recipe

LIBRARIES = (
    *("keras", "numpy", "onnx", "onnxruntime", "onnxslim"),
    *("scikit-learn", "tensorflow", "tf2onnx"),
)


def build_manifest(
    model: TrainedModel, exported: ExportedModel, assessment: Assessment, file_names: Iterable[str]
) -> Manifest:
    """Build the manifest; digests of files are computed on publishing.

    Args:
        model: The trained model and its data.
        exported: Its graphs.
        assessment: What was measured of it.
        file_names: Names of the bundle's files.
    """
    recipe, autoencoder = model.recipe, model.autoencoder
    noise = None if recipe.corruption is None else noise_spec(recipe.corruption)
    capabilities: tuple[Capability, ...] = (
        *("encode", "decode", "reconstruct"),
        *(("denoise",) if noise else ()),
        *("anomaly-score", "sample"),
    )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=recipe.name,
        description=recipe.description,
        data=_data_spec(model),
        input=with_training_ranges(model.data.input, model.split.train.rows),
        code=CodeSpec(shape=autoencoder.code_shape, variational=autoencoder.variational),
        conditions=_condition_columns(model) if recipe.data.conditions else None,
        graphs={name: signature for name, (signature, _) in exported.graphs.items()},
        capabilities=capabilities,
        noise=noise,
        anomaly=_anomaly_spec(recipe, assessment.calibration),
        priors=_priors_spec(exported.density, variational=autoencoder.variational),
        metrics=tuple(assessment.metrics),
        example=tuple(model.split.test.rows[0].ravel().tolist()),
        provenance=_provenance(model, exported, assessment),
        files=dict.fromkeys(file_names, "0" * 64),
    )


def with_training_ranges(spec: InputSpec, rows: FloatArray) -> InputSpec:
    """Add minimum and maximum of the training rows to the numeric columns of a table.

    Args:
        spec: The rows; without named columns it is returned unchanged.
        rows: Training rows in raw units, (rows, columns); missing values are NaN.
    """
    if spec.columns is None:
        return spec
    columns = [
        column.model_copy(update={"training_range": _range(values)})
        if column.type == "numeric"
        else column
        for column, values in zip(spec.columns, rows.T, strict=True)
    ]
    return spec.model_copy(update={"columns": tuple(columns)})


def _range(values: FloatArray) -> tuple[float, float] | None:
    present = values[~np.isnan(values)]
    return (float(present.min()), float(present.max())) if len(present) else None


def _condition_columns(model: TrainedModel) -> tuple[ColumnSpec, ...]:
    """Describe the condition of a row: its class, as an integer if all class names are numbers."""
    classes = model.data.classes
    numbers = all(name.isdecimal() for name in classes)
    vocabulary = tuple(int(name) if numbers else name for name in classes)
    return (ColumnSpec(name="label", type="categorical", vocabulary=vocabulary),)


def noise_spec(corruption: CorruptionPart) -> NoiseSpec:
    """Return the manifest's description of a recipe's corruption."""
    if isinstance(corruption, GaussianCorruption):
        deviation, clip = corruption.standard_deviation, corruption.clip
        clipped = "" if clip is None else f", clipped to [{clip[0]:g}, {clip[1]:g}]"
        description = f"independent normal noise of standard deviation {deviation:g}{clipped}"
        return NoiseSpec(kind="gaussian", level=deviation, description=description)
    return NoiseSpec(
        kind="masking",
        level=corruption.rate,
        description=f"every value set to 0 with probability {corruption.rate:g}",
    )


def _data_spec(model: TrainedModel) -> DataSpec:
    data = model.data
    return DataSpec(
        name=data.title,
        source=data.origin,
        licence=data.licence,
        attribution=data.attribution,
        sha256=data.sha256,
        rows={name: len(part) for name, part in model.split.parts().items()},
    )


def _anomaly_spec(recipe: Recipe, calibration: Mapping[Name, Scores]) -> AnomalySpec:
    return AnomalySpec(
        scores={
            name: ScoreSpec(
                graph=scorer_graph_name(name),
                description=scorer_named(name).description,
                units=scorer_named(name).units,
                calibration_rows=len(scores),
            )
            for name, scores in calibration.items()
        },
        default_score=recipe.anomaly.scores[0],
        default_false_positive_rate=recipe.anomaly.default_false_positive_rate,
    )


def _priors_spec(density: CodeDensity, *, variational: bool) -> PriorsSpec:
    subspace = ""
    if density.mixture.projection_components is not None:
        dimensions = len(density.mixture.projection_components)
        share = f"{density.explained_variance:.1%}"
        subspace = f", in the {dimensions} principal dimensions that hold {share} of their variance"
    available = {
        GAUSSIAN_MIXTURE: PriorSpec(
            kind="gaussian-mixture",
            description=f"Gaussian mixture fitted to the codes of training rows{subspace}.",
            components=density.components,
        )
    }
    if variational:
        available[STANDARD_NORMAL] = PriorSpec(
            kind="standard-normal",
            description="The distribution that codes were trained to follow.",
        )
    return PriorsSpec(available=available, default=default_prior(variational=variational))


def _provenance(model: TrainedModel, exported: ExportedModel, assessment: Assessment) -> Provenance:
    libraries = {name: version(name) for name in LIBRARIES}
    waivers = {gate.name: gate.waived for gate in assessment.gates if gate.waived is not None}
    return Provenance(
        recipe=model.recipe.to_json(),
        seed=model.recipe.seed,
        library_versions={
            "platform": platform_description(),
            "python": platform.python_version(),
            **libraries,
        },
        created_at=datetime.now(UTC).replace(microsecond=0),
        epochs=len(model.all_epochs),
        training_seconds=round(sum(record.seconds for record in model.all_epochs), 1),
        parity_error=exported.parity_error,
        gates_waived=waivers,
    )


def platform_description() -> str:
    """Return system, architecture and number of processors, which training times depend on."""
    processors = os.cpu_count() or 1
    return (
        f"{platform.system()} {platform.machine()}, {processors} processor"
        f"{'' if processors == 1 else 's'}"
    )
