"""A manifest that contradicts itself is rejected, and for the right reason."""

from collections.abc import Callable
from typing import Any

import pytest

from service.bundle.signing import parse_manifest
from service.errors import InvalidManifest
from tests.bundle.manifests import ZEROS, Fields, changed, tensors
from tests.bundles import LABELLED, PEOPLE, PLANE, SCORE, STAMP, WAVE, TinyModel

SCORER = f"scorer-{SCORE}"


def later(fields: Fields, *path: str | int, **changes: Any) -> None:
    """State schema version 1.1, and change fields of the part at a path."""
    fields["schema_version"] = "1.1.0"
    part: Any = fields
    for step in path:
        part = part[step]
    part.update(changes)


def extension(**changes: Any) -> Fields:
    return {"kind": "neighbors", "description": "Neighbors of a row.", **changes}


def encoder_of(fields: Fields) -> Fields:
    return fields["graphs"]["encoder"]


CONTRADICTIONS: dict[str, tuple[TinyModel, Callable[[Fields], object], str]] = {
    "an unknown field": (
        PLANE,
        lambda fields: fields.update(colour="red"),
        "colour: Extra inputs",
    ),
    "a missing field": (
        PLANE,
        lambda fields: fields.pop("provenance"),
        "provenance: Field required",
    ),
    "an example with a text where a number is taken": (
        PLANE,
        lambda fields: fields["example"].__setitem__(0, "1"),
        "the example has a value that the model does not take",
    ),
    "an example without a number": (
        PLANE,
        lambda fields: fields["example"].__setitem__(0, None),
        "the example has a value that the model does not take",
    ),
    "an example with a boolean where a number is taken": (
        PLANE,
        lambda fields: fields["example"].__setitem__(0, True),
        "the example has a value that the model does not take",
    ),
    "an example beyond float32": (
        PLANE,
        lambda fields: fields["example"].__setitem__(0, 1e39),
        "the example has a value that the model does not take",
    ),
    "an example of an image with a pixel above 1": (
        STAMP,
        lambda fields: fields["example"].__setitem__(0, 2.0),
        r"the example has a value outside \[0, 1\]",
    ),
    "an example of a category that is not there": (
        PEOPLE,
        lambda fields: fields["example"].__setitem__(2, "Rome"),
        "the example has a value that column city does not take",
    ),
    "an example with a number where a boolean is taken": (
        PEOPLE,
        lambda fields: fields["example"].__setitem__(1, 1.0),
        "the example has a value that column member does not take",
    ),
    "a category of more than 64 bits": (
        PEOPLE,
        lambda fields: fields["input"]["columns"][2].update(vocabulary=["Oslo", 2**63]),
        "input/columns/2/vocabulary/1/",
    ),
    "a number in words": (
        PLANE,
        lambda fields: fields["provenance"].update(seed="0"),
        "provenance/seed: ",
    ),
    "a figure that is not a number": (
        PLANE,
        lambda fields: fields["metrics"].append(
            {"name": "loss", "value": float("nan"), "split": "test", "rows": 1}
        ),
        "metrics/0/value: .*finite",
    ),
    "a time without a zone": (
        PLANE,
        lambda fields: fields["provenance"].update(created_at="2026-01-01T00:00:00"),
        "provenance/created_at: ",
    ),
    "a name that is not a folder name": (
        PLANE,
        lambda fields: fields.update(name="../plane"),
        "name: ",
    ),
    "a digest in capitals": (
        PLANE,
        lambda fields: fields["files"].update({"encoder.onnx": "A" * 64}),
        "files/encoder.onnx",
    ),
    "categories without a vocabulary": (
        PEOPLE,
        lambda fields: fields["input"]["columns"][2].update(vocabulary=None),
        "exactly the categorical columns have a vocabulary",
    ),
    "categories with an empty vocabulary": (
        PEOPLE,
        lambda fields: fields["input"]["columns"][2].update(vocabulary=[]),
        "exactly the categorical columns have a vocabulary",
    ),
    "numbers with a vocabulary": (
        PEOPLE,
        lambda fields: fields["input"]["columns"][0].update(vocabulary=["old", "young"]),
        "exactly the categorical columns have a vocabulary",
    ),
    "a category named twice": (
        PEOPLE,
        lambda fields: fields["input"]["columns"][2].update(vocabulary=["Bern", "Bern"]),
        "names each category once",
    ),
    "a column without a name": (
        PEOPLE,
        lambda fields: fields["input"]["columns"][0].update(name=""),
        "columns/0/name",
    ),
    "an image of two axes": (
        STAMP,
        lambda fields: fields["input"].update(shape=[6, 4]),
        "image rows have 3 axes, not 2",
    ),
    "an image of two channels": (
        STAMP,
        lambda fields: fields["input"].update(shape=[6, 4, 2]),
        "an image has 1 or 3 channels, not 2",
    ),
    "an image of bytes": (
        STAMP,
        lambda fields: fields["input"].update(range=[0, 255]),
        r"the range of an image is \[0, 1\]",
    ),
    "a series of one axis": (
        WAVE,
        lambda fields: fields["input"].update(shape=[8]),
        "series rows have 2 axes, not 1",
    ),
    "a table of two axes": (
        PLANE,
        lambda fields: fields["input"].update(shape=[2, 2]),
        "tabular rows have 1 axes, not 2",
    ),
    "a row of no values": (
        PLANE,
        lambda fields: fields["input"].update(shape=[0]),
        "input/shape/0",
    ),
    "a series with columns": (
        WAVE,
        lambda fields: fields["input"].update(columns=[{"name": "volts"}]),
        "only tabular rows have columns",
    ),
    "fewer columns than values": (
        PEOPLE,
        lambda fields: fields["input"]["columns"].pop(),
        "3 values in a row, 2 columns",
    ),
    "a default score that is not there": (
        PLANE,
        lambda fields: fields["anomaly"].update(default_score="likelihood"),
        "the default score is not among the scores",
    ),
    "a rate of one": (
        PLANE,
        lambda fields: fields["anomaly"].update(default_false_positive_rate=1.0),
        "default_false_positive_rate",
    ),
    "a default prior that is not there": (
        PLANE,
        lambda fields: fields["priors"].update(default="flat"),
        "the default prior is not among the priors",
    ),
    "encoding without an encoder": (
        PLANE,
        lambda fields: fields["graphs"].pop("encoder"),
        "capability encode needs an encoder",
    ),
    "decoding without a decoder": (
        PLANE,
        lambda fields: fields["graphs"].pop("decoder"),
        "capability decode needs a decoder",
    ),
    "reconstructing without a decoder": (
        PLANE,
        lambda fields: (
            fields["graphs"].pop("decoder") and fields.update(capabilities=["reconstruct"])
        ),
        "capability reconstruct needs encoder and decoder",
    ),
    "denoising without noise": (
        STAMP,
        lambda fields: fields.update(noise=None),
        "capability denoise needs .*noise",
    ),
    "denoising without a decoder": (
        STAMP,
        lambda fields: fields["graphs"].pop("decoder") and fields.update(capabilities=["denoise"]),
        "capability denoise needs .*decoder",
    ),
    "scoring without scores": (
        PLANE,
        lambda fields: fields.update(anomaly=None),
        "capability anomaly-score needs scores",
    ),
    "sampling without priors": (
        PLANE,
        lambda fields: fields.update(priors=None),
        "capability sample needs .*priors",
    ),
    "sampling without a decoder": (
        PLANE,
        lambda fields: fields["graphs"].pop("decoder") and fields.update(capabilities=["sample"]),
        "capability sample needs decoder",
    ),
    "no capability": (PLANE, lambda fields: fields.update(capabilities=[]), "capabilities"),
    "an unknown capability": (
        PLANE,
        lambda fields: fields.update(capabilities=["guess"]),
        "capabilities/0",
    ),
    "a score without its graph": (
        PLANE,
        lambda fields: fields["graphs"].pop(SCORER),
        f"scores name graphs that are not there: .*{SCORER}",
    ),
    "a graph of an unknown kind": (
        PLANE,
        lambda fields: fields["graphs"].update(helper=fields["graphs"]["encoder"]),
        "graphs/helper",
    ),
    "a graph without a digest": (
        PLANE,
        lambda fields: fields["files"].pop("decoder.onnx"),
        "without a digest: .*decoder.onnx",
    ),
    "golden vectors without a digest": (
        PLANE,
        lambda fields: fields["files"].pop("golden.npz"),
        "without a digest: .*golden.npz",
    ),
    "calibration without a digest": (
        PLANE,
        lambda fields: fields["files"].pop("calibration.npz"),
        "without a digest: .*calibration.npz",
    ),
    "a mixture without a digest": (
        PLANE,
        lambda fields: fields["files"].pop("priors.npz"),
        "without a digest: .*priors.npz",
    ),
    "a manifest that lists itself": (
        PLANE,
        lambda fields: fields["files"].update({"manifest.json": ZEROS}),
        "its own digest",
    ),
    "an example that is not a row": (
        PLANE,
        lambda fields: fields["example"].pop(),
        "the example has 3 values, a row 4",
    ),
    "an encoder of other rows": (
        PLANE,
        lambda fields: tensors(fields, "encoder", "inputs")[0].update(shape=[5]),
        "graph encoder does not fit",
    ),
    "an encoder of other codes": (
        PLANE,
        lambda fields: tensors(fields, "encoder", "outputs")[0].update(shape=[3]),
        "graph encoder does not fit",
    ),
    "an encoder whose codes have another name": (
        PLANE,
        lambda fields: tensors(fields, "encoder", "outputs")[0].update(name="latent"),
        "graph encoder does not fit",
    ),
    "a variational encoder without variances": (
        PLANE,
        lambda fields: fields["code"].update(variational=True),
        "graph encoder does not fit",
    ),
    "variances of an encoder that is not variational": (
        WAVE,
        lambda fields: fields["code"].update(variational=False),
        "graph encoder does not fit",
    ),
    "codes and variances the other way round": (
        WAVE,
        lambda fields: tensors(fields, "encoder", "outputs").reverse(),
        "graph encoder does not fit",
    ),
    "a decoder of other rows": (
        PLANE,
        lambda fields: tensors(fields, "decoder", "outputs")[0].update(shape=[2, 2]),
        "graph decoder does not fit",
    ),
    "a scorer of a score a feature": (
        PLANE,
        lambda fields: tensors(fields, SCORER, "outputs")[0].update(shape=[1]),
        f"graph {SCORER} does not fit",
    ),
    "a training range the wrong way round": (
        PEOPLE,
        lambda fields: later(fields, "input", "columns", 0, training_range=[2.0, 1.0]),
        "the minimum of a training range is above its maximum",
    ),
    "a training range of a category": (
        PEOPLE,
        lambda fields: later(fields, "input", "columns", 2, training_range=[0.0, 1.0]),
        "only numeric columns have a training range",
    ),
    "a training range that is not finite": (
        PEOPLE,
        lambda fields: later(fields, "input", "columns", 0, training_range=[0.0, float("inf")]),
        "training_range/1: .*finite",
    ),
    "a background of a table": (
        PLANE,
        lambda fields: later(fields, "input", background=0.0),
        "only images have a background",
    ),
    "a background that is no brightness": (
        STAMP,
        lambda fields: later(fields, "input", background=1.5),
        "input/background",
    ),
    "a background in a manifest of 1.0": (
        STAMP,
        lambda fields: fields["input"].update(background=0.0),
        "schema version 1.0.0 does not have backgrounds",
    ),
    "windows of a table": (
        PLANE,
        lambda fields: later(fields, "input", windows={"length": 4, "stride": 1}),
        "only series have windows",
    ),
    "windows of another length than a row": (
        WAVE,
        lambda fields: later(fields, "input", windows={"length": 9, "stride": 1}),
        "8 steps in a row, windows of 9",
    ),
    "windows without a stride": (
        WAVE,
        lambda fields: later(fields, "input", windows={"length": 8, "stride": 0}),
        "input/windows/stride",
    ),
    "an extension whose file has no digest": (
        PLANE,
        lambda fields: later(fields, extensions={"near": extension(files=["near.npz"])}),
        "without a digest: .*near.npz",
    ),
    "an extension whose graph has no digest": (
        PLANE,
        lambda fields: later(
            fields,
            extensions={
                "near": extension(graphs={"near": {**encoder_of(fields), "file": "n.onnx"}})
            },
        ),
        "without a digest: .*n.onnx",
    ),
    "an extension without a kind": (
        PLANE,
        lambda fields: later(fields, extensions={"near": {"description": "Neighbors."}}),
        "extensions/near/kind: Field required",
    ),
    "a training range in a manifest of 1.0": (
        PEOPLE,
        lambda fields: fields["input"]["columns"][0].update(training_range=[1.0, 2.0]),
        "schema version 1.0.0 does not have training ranges",
    ),
    "windows in a manifest of 1.0": (
        WAVE,
        lambda fields: fields["input"].update(windows={"length": 8, "stride": 1}),
        "schema version 1.0.0 does not have windows",
    ),
    "extensions in a manifest of 1.0": (
        PLANE,
        lambda fields: fields.update(extensions={"near": extension()}),
        "schema version 1.0.0 does not have extensions",
    ),
    "masking noise in a manifest of 1.0": (
        STAMP,
        lambda fields: fields["noise"].update(kind="masking"),
        "schema version 1.0.0 does not have masking noise",
    ),
    "conditions of another width": (
        LABELLED,
        lambda fields: tensors(fields, "decoder", "inputs")[1].update(shape=[2]),
        "graph decoder does not fit",
    ),
    "conditions that the model does not take": (
        LABELLED,
        lambda fields: fields.update(conditions=None),
        "does not fit",
    ),
}


@pytest.mark.parametrize("contradiction", CONTRADICTIONS)
def test_a_manifest_that_contradicts_itself_is_rejected_for_the_right_reason(
    contradiction: str,
) -> None:
    model, change, reason = CONTRADICTIONS[contradiction]

    with pytest.raises(InvalidManifest, match=reason):
        parse_manifest(changed(model, change))
