"""What a model bundle says about itself: the whole contract between training and service.

``manifest.json`` is one ``Manifest``. Everything the service must know to answer a request is in
it or in a file it lists by digest, so training and serving cannot disagree.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PositiveInt,
    StringConstraints,
    model_validator,
)

SCHEMA_VERSION = "1.0.0"
MANIFEST_FILE = "manifest.json"
ENCODER = "encoder"
DECODER = "decoder"
CALIBRATION_FILE = "calibration.npz"
PRIORS_FILE = "priors.npz"
GOLDEN_FILE = "golden.npz"
REPORT_FILE = "report.html"
UNSIGNED = "0" * 64

Capability = Literal["encode", "decode", "reconstruct", "denoise", "anomaly-score", "sample"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
GraphName = Annotated[str, StringConstraints(pattern=r"^(encoder|decoder|scorer-[a-z0-9-]+)$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Shape = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]

_Tensors = list[tuple[str, tuple[int, ...]]]


class _Part(BaseModel):
    # Served parts are validated within their manifest: they need no validators of their own.
    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True
    )


class ColumnSpec(_Part):
    """One named column of a table row, or one condition of a conditional model.

    A graph sees numbers only. A boolean becomes 0 or 1, a category the position of its value in
    ``vocabulary``, and a missing value of a nullable column becomes NaN.
    """

    name: Annotated[str, Field(min_length=1)]
    type: Literal["numeric", "boolean", "categorical"] = "numeric"
    vocabulary: tuple[str | int, ...] | None = None
    nullable: bool = False
    units: str | None = None

    @model_validator(mode="after")
    def _vocabulary_belongs_to_categories(self) -> Self:
        if (self.type == "categorical") != bool(self.vocabulary):
            raise ValueError("exactly the categorical columns have a vocabulary")
        if self.vocabulary and len(set(self.vocabulary)) != len(self.vocabulary):
            raise ValueError("a vocabulary names each category once")
        return self


class InputSpec(_Part):
    """What one row that a client sends is, in the client's own units.

    Attributes:
        kind: ``image`` rows are (height, width, channels) in [0, 1]; ``series`` rows are
            (steps, channels); ``tabular`` rows are (columns,).
        shape: Shape of one row, without the batch axis.
        dtype: What the graphs take.
        range: Least and greatest value a client may send; enforced for images only.
        units: Units of the values, as a person would write them.
        columns: Names and types of a table's columns, in order.
    """

    kind: Literal["image", "tabular", "series"]
    shape: Shape
    dtype: Literal["float32"] = "float32"
    range: tuple[float, float] | None = None
    units: str
    columns: tuple[ColumnSpec, ...] | None = None

    @model_validator(mode="after")
    def _shape_fits_kind(self) -> Self:
        axes = {"image": 3, "series": 2, "tabular": 1}[self.kind]
        if len(self.shape) != axes:
            raise ValueError(f"{self.kind} rows have {axes} axes, not {len(self.shape)}")
        if self.kind == "image":
            if self.shape[2] not in (1, 3):
                raise ValueError(f"an image has 1 or 3 channels, not {self.shape[2]}")
            if self.range != (0.0, 1.0):
                raise ValueError("the range of an image is [0, 1]")
        if self.columns is not None and (self.kind != "tabular"):
            raise ValueError("only tabular rows have columns")
        if self.columns is not None and len(self.columns) != self.shape[0]:
            raise ValueError(f"{self.shape[0]} values in a row, {len(self.columns)} columns")
        return self


class CodeSpec(_Part):
    """What a row becomes: its code in the latent space.

    Attributes:
        shape: Shape of one code, without the batch axis.
        variational: The encoder also gives ``log_variances``; ``codes`` are posterior means.
    """

    shape: Shape
    variational: bool = False


class TensorSpec(_Part):
    """One input or output of a graph; every graph has a dynamic batch axis in front."""

    name: str
    shape: tuple[PositiveInt, ...]
    dtype: Literal["float32"] = "float32"


class GraphSignature(_Part):
    """An ONNX file and the names and shapes it must have."""

    file: str
    inputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]


class NoiseSpec(_Part):
    """The corruption a bundle was trained to undo."""

    kind: Literal["gaussian", "dropout", "salt-and-pepper"]
    level: Annotated[float, Field(gt=0)]
    description: str


class ScoreSpec(_Part):
    """One way of saying how unlike the normal rows a row is; higher is more anomalous."""

    graph: Annotated[str, Field(pattern=r"^scorer-[a-z0-9-]+$")]
    description: str
    units: str
    calibration_rows: Annotated[int, Field(ge=0)]


class AnomalySpec(_Part):
    """The scores of a bundle and how they are judged when a request does not say."""

    scores: Annotated[dict[Name, ScoreSpec], Field(min_length=1)]
    default_score: Name
    default_false_positive_rate: Rate = 0.01

    @model_validator(mode="after")
    def _default_exists(self) -> Self:
        if self.default_score not in self.scores:
            raise ValueError("the default score is not among the scores")
        return self


class PriorSpec(_Part):
    """A density over codes from which new ones are drawn."""

    kind: Literal["standard-normal", "gaussian-mixture"]
    description: str
    components: PositiveInt = 1


class PriorsSpec(_Part):
    """The priors of a bundle and the one used when a request does not say."""

    available: Annotated[dict[Name, PriorSpec], Field(min_length=1)]
    default: Name

    @model_validator(mode="after")
    def _default_exists(self) -> Self:
        if self.default not in self.available:
            raise ValueError("the default prior is not among the priors")
        return self


class Metric(_Part):
    """A figure measured on held-out data when the bundle was made."""

    name: str
    value: float
    split: Literal["validation", "calibration", "test"]
    rows: PositiveInt
    published: float | None = None
    note: str | None = None


class DataSpec(_Part):
    """The data a bundle was trained on, its terms, and the digest of what was really read."""

    name: str
    source: str
    licence: str
    attribution: str
    sha256: Sha256
    rows: dict[Literal["train", "validation", "calibration", "test"], PositiveInt]


class Provenance(_Part):
    """What it takes to make the bundle again."""

    recipe: dict[str, JsonValue]
    seed: int
    library_versions: dict[str, str]
    created_at: Annotated[AwareDatetime, Field(strict=False)]
    epochs: Annotated[int, Field(ge=0)]
    training_seconds: Annotated[float, Field(ge=0)]
    parity_error: Annotated[float, Field(ge=0)]
    gates_waived: dict[str, str] = {}


class Manifest(_Part):
    """Everything the service must know about one version of one model.

    Attributes:
        schema_version: Semantic version of this schema.
        digest: SHA-256 of the manifest's bytes with this value written as 64 zeros.
        graphs: ``encoder``, ``decoder`` and one ``scorer-<score>`` per score.
        conditions: Columns of what a conditional model takes beside each row; every graph that
            needs them has an input ``conditions`` of shape (len(conditions),).
        example: A row a client could send: the flat values in row-major order.
        files: SHA-256 of every other file of the bundle, by file name.
    """

    schema_version: str
    digest: Sha256 = UNSIGNED
    name: Name
    description: str
    data: DataSpec
    input: InputSpec
    code: CodeSpec
    conditions: Annotated[tuple[ColumnSpec, ...], Field(min_length=1)] | None = None
    graphs: dict[GraphName, GraphSignature]
    capabilities: Annotated[tuple[Capability, ...], Field(min_length=1)]
    noise: NoiseSpec | None = None
    anomaly: AnomalySpec | None = None
    priors: PriorsSpec | None = None
    metrics: tuple[Metric, ...] = ()
    example: tuple[float | str | bool | None, ...]
    provenance: Provenance
    files: dict[str, Sha256]

    @model_validator(mode="after")
    def _capabilities_have_what_they_need(self) -> Self:
        needs: dict[Capability, tuple[bool, str]] = {
            "encode": (ENCODER in self.graphs, "an encoder"),
            "decode": (DECODER in self.graphs, "a decoder"),
            "reconstruct": ({ENCODER, DECODER} <= self.graphs.keys(), "encoder and decoder"),
            "denoise": (
                self.noise is not None and {ENCODER, DECODER} <= self.graphs.keys(),
                "encoder, decoder and the noise it was trained against",
            ),
            "anomaly-score": (self.anomaly is not None, "scores"),
            "sample": (self.priors is not None and DECODER in self.graphs, "decoder and priors"),
        }
        for capability in self.capabilities:
            satisfied, need = needs[capability]
            if not satisfied:
                raise ValueError(f"capability {capability} needs {need}")
        return self

    @model_validator(mode="after")
    def _graphs_fit_rows_and_codes(self) -> Self:
        row, code = self.input.shape, self.code.shape
        variances = [("log_variances", code)] if self.code.variational else []
        interfaces: dict[str, tuple[_Tensors, _Tensors]] = {
            ENCODER: ([("inputs", row)], [("codes", code), *variances]),
            DECODER: ([("codes", code)], [("outputs", row)]),
        }
        scorer: tuple[_Tensors, _Tensors] = (
            [("inputs", row)],
            [("scores", ()), ("feature_scores", row)],
        )
        conditions = [("conditions", (len(self.conditions),))] if self.conditions else []
        for name, graph in self.graphs.items():
            inputs, outputs = interfaces.get(name, scorer)
            taken = [(tensor.name, tensor.shape) for tensor in graph.inputs]
            given = [(tensor.name, tensor.shape) for tensor in graph.outputs]
            if taken not in (inputs, inputs + conditions) or given != outputs:
                raise ValueError(f"graph {name} does not fit the rows and codes described")
        return self

    @model_validator(mode="after")
    def _everything_named_is_listed(self) -> Self:
        scores = self.anomaly.scores if self.anomaly else {}
        if missing := {score.graph for score in scores.values()} - self.graphs.keys():
            raise ValueError(f"scores name graphs that are not there: {sorted(missing)}")
        wanted = {graph.file for graph in self.graphs.values()} | {GOLDEN_FILE}
        if any(score.calibration_rows for score in scores.values()):
            wanted.add(CALIBRATION_FILE)
        priors = self.priors.available.values() if self.priors else ()
        mixtures = sum(prior.kind == "gaussian-mixture" for prior in priors)
        if mixtures > 1:
            raise ValueError(f"{PRIORS_FILE} holds one Gaussian mixture, not {mixtures}")
        if mixtures:
            wanted.add(PRIORS_FILE)
        if missing := wanted - self.files.keys():
            raise ValueError(f"files without a digest: {sorted(missing)}")
        if MANIFEST_FILE in self.files:
            raise ValueError(f"{MANIFEST_FILE} states its own digest and is none of the files")
        values = 1
        for length in self.input.shape:
            values *= length
        if len(self.example) != values:
            raise ValueError(f"the example has {len(self.example)} values, a row {values}")
        return self


def manifest_json_schema() -> dict[str, Any]:
    """Return the JSON schema of ``manifest.json``, as published in ``docs/``."""
    return Manifest.model_json_schema()
