"""The manifest of a model bundle: the contract between training and service.

``manifest.json`` is one ``Manifest``. It contains everything that the service needs to know about a
model, or lists the file that does, with its digest.

Versions of the schema are semantic. A reader takes its own major version, up to its own minor one:

- a minor version adds fields that are optional, so that readers take all earlier manifests;
- an earlier reader rejects a later minor version, since it cannot know whether it may ignore what
  was added;
- a new kind of extension needs no new version: readers keep and ignore kinds that they do not know.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PositiveInt,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

SCHEMA_VERSION = "1.1.0"
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
Category = str | Annotated[int, Field(ge=-(2**63), lt=2**63)]

_Tensors = list[tuple[str, tuple[int, ...]]]

_FIRST_WITH_ADDITIONS = (1, 1)
_MAX_FLOAT32 = (2 - 2**-23) * 2.0**127


class _Part(BaseModel):
    # Served parts are validated within their manifest: they need no validators of their own.
    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True
    )


class _ExtendedPart(_Part):
    """A part with fields that a later minor version added.

    Attributes:
        added: Names of these fields. Without a value they are not written, so that a manifest is
            written in the version that it states.
    """

    added: ClassVar[frozenset[str]]

    @model_serializer(mode="wrap")
    def _without_unused_additions(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in fields.items()
            if name not in self.added or value not in (None, {})
        }


class ColumnSpec(_ExtendedPart):
    """One named column of a table row, or one condition of a conditional model.

    Graphs take numbers only: a boolean is 0 or 1, a category the position of its value in
    ``vocabulary``, a missing value of a nullable column NaN.

    Attributes:
        training_range: Minimum and maximum of a numeric column in the training rows, without
            missing values; since 1.1.
    """

    added = frozenset({"training_range"})

    name: Annotated[str, Field(min_length=1)]
    type: Literal["numeric", "boolean", "categorical"] = "numeric"
    vocabulary: tuple[Category, ...] | None = None
    nullable: bool = False
    units: str | None = None
    training_range: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _vocabulary_belongs_to_categories(self) -> Self:
        if (self.type == "categorical") != bool(self.vocabulary):
            raise ValueError("exactly the categorical columns have a vocabulary")
        if self.vocabulary and len(set(self.vocabulary)) != len(self.vocabulary):
            raise ValueError("a vocabulary names each category once")
        return self

    def takes(self, value: float | str | bool | None) -> bool:
        """Whether a value is one of this column, as a client sends it."""
        if value is None:
            return self.nullable
        if self.type == "boolean" or isinstance(value, bool):
            return self.type == "boolean" and isinstance(value, bool)
        if self.type == "categorical":
            return value in (self.vocabulary or ())
        return not isinstance(value, str) and abs(value) <= _MAX_FLOAT32

    @model_validator(mode="after")
    def _training_range_is_of_numbers(self) -> Self:
        if self.training_range is not None:
            if self.type != "numeric":
                raise ValueError("only numeric columns have a training range")
            if self.training_range[0] > self.training_range[1]:
                raise ValueError("the minimum of a training range is above its maximum")
        return self


class WindowSpec(_Part):
    """How rows are cut from longer series.

    Attributes:
        length: Steps of a window, which are the steps of a row.
        stride: Steps between the starts of consecutive windows in training.
    """

    length: PositiveInt
    stride: PositiveInt


class InputSpec(_ExtendedPart):
    """One row as a client sends it, in raw units.

    Attributes:
        kind: ``image`` rows are (height, width, channels) in [0, 1]; ``series`` rows are
            (steps, channels); ``tabular`` rows are (columns,).
        shape: Shape of one row, without the batch axis.
        dtype: Type of the graphs' inputs.
        range: Minimum and maximum of the values; enforced for images only.
        units: Units of the values, for people.
        columns: Names and types of a table's columns, in order.
        windows: How series are cut into rows, if they are; since 1.1.
        background: What shows behind the transparent parts of a picture, from 0 (black, also when
            nothing is stated) to 1 (white), as the background of the training data; since 1.1.
    """

    added = frozenset({"windows", "background"})

    kind: Literal["image", "tabular", "series"]
    shape: Shape
    dtype: Literal["float32"] = "float32"
    range: tuple[float, float] | None = None
    units: str
    columns: tuple[ColumnSpec, ...] | None = None
    windows: WindowSpec | None = None
    background: Annotated[float, Field(ge=0, le=1)] | None = None

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
        if self.background is not None and self.kind != "image":
            raise ValueError("only images have a background")
        if self.columns is not None and (self.kind != "tabular"):
            raise ValueError("only tabular rows have columns")
        if self.columns is not None and len(self.columns) != self.shape[0]:
            raise ValueError(f"{self.shape[0]} values in a row, {len(self.columns)} columns")
        if self.windows is not None and self.kind != "series":
            raise ValueError("only series have windows")
        if self.windows is not None and self.windows.length != self.shape[0]:
            raise ValueError(f"{self.shape[0]} steps in a row, windows of {self.windows.length}")
        return self


class CodeSpec(_Part):
    """The code of a row, in the latent space.

    Attributes:
        shape: Shape of one code, without the batch axis.
        variational: The encoder outputs ``log_variances`` too; ``codes`` are posterior means.
    """

    shape: Shape
    variational: bool = False


class TensorSpec(_Part):
    """One input or output of a graph, without the dynamic batch axis, which is first."""

    name: str
    shape: tuple[PositiveInt, ...]
    dtype: Literal["float32"] = "float32"


class GraphSignature(_Part):
    """An ONNX file, and the names and shapes of its inputs and outputs."""

    file: str
    inputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]


class NoiseSpec(_Part):
    """The noise that a model was trained to remove.

    Attributes:
        kind: ``masking`` sets values to 0; since 1.1, called ``dropout`` in 1.0.
        level: Standard deviation of normal noise, or probability that a value is changed.
    """

    kind: Literal["gaussian", "masking", "dropout", "salt-and-pepper"]
    level: Annotated[float, Field(gt=0)]
    description: str


class ScoreSpec(_Part):
    """One anomaly score; higher is more anomalous."""

    graph: Annotated[str, Field(pattern=r"^scorer-[a-z0-9-]+$")]
    description: str
    units: str
    calibration_rows: Annotated[int, Field(ge=0)]


class AnomalySpec(_Part):
    """The scores of a bundle, and the defaults for requests that name none."""

    scores: Annotated[dict[Name, ScoreSpec], Field(min_length=1)]
    default_score: Name
    default_false_positive_rate: Rate = 0.01

    @model_validator(mode="after")
    def _default_exists(self) -> Self:
        if self.default_score not in self.scores:
            raise ValueError("the default score is not among the scores")
        return self


class PriorSpec(_Part):
    """A density over codes, from which samples are drawn."""

    kind: Literal["standard-normal", "gaussian-mixture"]
    description: str
    components: PositiveInt = 1


class PriorsSpec(_Part):
    """The priors of a bundle, and the default for requests that name none."""

    available: Annotated[dict[Name, PriorSpec], Field(min_length=1)]
    default: Name

    @model_validator(mode="after")
    def _default_exists(self) -> Self:
        if self.default not in self.available:
            raise ValueError("the default prior is not among the priors")
        return self


class Metric(_Part):
    """A figure that was measured on held-out data before publishing."""

    name: str
    value: float
    split: Literal["validation", "calibration", "test"]
    rows: PositiveInt
    published: float | None = None
    note: str | None = None


class DataSpec(_Part):
    """The data that a model was trained on: its terms, and the digest of what was read."""

    name: str
    source: str
    licence: str
    attribution: str
    sha256: Sha256
    rows: dict[Literal["train", "validation", "calibration", "test"], PositiveInt]


class Provenance(_Part):
    """What is needed to train the model again."""

    recipe: dict[str, JsonValue]
    seed: int
    library_versions: dict[str, str]
    created_at: Annotated[AwareDatetime, Field(strict=False)]
    epochs: Annotated[int, Field(ge=0)]
    training_seconds: Annotated[float, Field(ge=0)]
    parity_error: Annotated[float, Field(ge=0)]
    gates_waived: dict[str, str] = {}


class ExtensionSpec(_Part):
    """A further part of a bundle, for one operation of its own.

    A reader that does not know the kind keeps the entry, verifies the digests of its files, and
    otherwise ignores it.

    Attributes:
        kind: Which operation it is for, such as ``classifier``, ``neighbors`` or ``examples``.
        description: One sentence for users.
        graphs: Further graphs, by a name of the kind's own; ``golden.npz`` has their vectors as
            ``<extension>/<graph>/<tensor>``.
        files: Names of further files.
        settings: Further values, whose meaning the kind defines.
    """

    kind: Name
    description: str
    graphs: dict[Name, GraphSignature] = {}
    files: tuple[str, ...] = ()
    settings: dict[str, JsonValue] = {}


class Manifest(_ExtendedPart):
    """Everything the service needs to know about one version of one model.

    Attributes:
        schema_version: Semantic version of this schema.
        digest: SHA-256 of the manifest's bytes with this value written as 64 zeros.
        graphs: ``encoder``, ``decoder`` and one ``scorer-<score>`` per score.
        conditions: Columns of the conditions of a conditional model; every graph that needs them
            has an input ``conditions`` of shape (len(conditions),).
        capabilities: Which of the six calls the model was published for.
        example: A row that a client could send, as flat values in row-major order.
        files: SHA-256 of every other file of the bundle, by file name.
        extensions: Further graphs and files by name, for operations of their own; since 1.1.
    """

    added = frozenset({"extensions"})

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
    extensions: dict[Name, ExtensionSpec] = {}

    @model_validator(mode="after")
    def _additions_need_the_version_that_added_them(self) -> Self:
        columns = (*(self.input.columns or ()), *(self.conditions or ()))
        used = {
            "training ranges": any(column.training_range for column in columns),
            "windows": self.input.windows is not None,
            "backgrounds": self.input.background is not None,
            "extensions": bool(self.extensions),
            "masking noise": self.noise is not None and self.noise.kind == "masking",
        }
        stated = tuple(int(number) for number in self.schema_version.split(".")[:2])
        if stated < _FIRST_WITH_ADDITIONS and any(used.values()):
            names = ", ".join(name for name, is_used in used.items() if is_used)
            raise ValueError(f"schema version {self.schema_version} does not have {names}")
        return self

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
        for extension in self.extensions.values():
            wanted.update(extension.files, (graph.file for graph in extension.graphs.values()))
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
            raise ValueError(f"{MANIFEST_FILE} states its own digest and is not among the files")
        values = 1
        for length in self.input.shape:
            values *= length
        if len(self.example) != values:
            raise ValueError(f"the example has {len(self.example)} values, a row {values}")
        return self

    @model_validator(mode="after")
    def _example_is_a_row(self) -> Self:
        # Problems and the documentation send it to clients, as a request that works.
        number = ColumnSpec(name="value")
        columns = self.input.columns or (number,) * len(self.example)
        for value, column in zip(self.example, columns, strict=True):
            if not column.takes(value):
                place = f"column {column.name}" if self.input.columns else "the model"
                raise ValueError(f"the example has a value that {place} does not take")
            if self.input.kind == "image" and not 0 <= float(value or 0) <= 1:
                raise ValueError("the example has a value outside [0, 1]")
        return self


def manifest_json_schema() -> dict[str, Any]:
    """Return the JSON schema of ``manifest.json``, as published in ``docs/``."""
    return Manifest.model_json_schema()
