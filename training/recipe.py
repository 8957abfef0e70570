"""What one training run is to do: a frozen, validated configuration.

A variant of a published system is a TOML file of one's own, never Python: ``recipe_files`` reads
it, and whatever it says is checked before any data is read.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from service.bundle.manifest import Name, Rate
from training.layer_specs import DenseSpec, Fraction, LayerSpecs, RecipePart, TiedDenseSpec
from training.objective_specs import ObjectivePart, ReconstructionLoss

DatasetName = Literal["digits", "mnist", "fashion-mnist", "ecg5000", "sine", "plane"]
MetricSplit = Literal["validation", "test"]


_DECISIVE_PARTS = {"seed", "data", "model", "corruption", "objective", "training", "layerwise"}
# A recipe that does not use one of these has the digest that it had before there was such a field.
_ABSENT_BY_DEFAULT = (
    *("data.train_rows", "data.conditions", "training.published_epoch", "layerwise"),
    "corruption.clean_share",
    *("objective.kl_warmup_epochs", "objective.free_nats_per_unit", "objective.penalties"),
)
_ABSENT: tuple[JsonValue, ...] = (None, [], "best")


class DataPart(RecipePart):
    """Which data, and how it is split in four.

    Attributes:
        dataset: A name of ``datasets``.
        validation_rows: Rows for early stopping, scaling constants and the mixture's size.
        validation_from: ``end``: the last rows as the data set orders them; ``random``: by seed.
        calibration_rows: Normal rows, used once, after everything else is fixed.
        test_rows: Rows set aside by seed; left out where the data set has a test set of its own.
        normal_classes: Classes to learn from. Rows of any other class are only ever test rows.
        train_rows: How many rows to learn from, drawn by seed; all that are left by default.
        conditions: What a conditional model is told beside each row: ``class``, its class.
        scaling: ``none`` for values that are in [0, 1] already; ``standardize`` to zero mean and
            unit variance, ``unit-range`` to [0, 1], both with one constant per channel or column.
    """

    dataset: DatasetName
    validation_rows: PositiveInt
    validation_from: Literal["end", "random"] = "random"
    calibration_rows: PositiveInt
    test_rows: PositiveInt | None = None
    normal_classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    train_rows: PositiveInt | None = None
    conditions: Literal["class"] | None = None
    scaling: Literal["none", "standardize", "unit-range"] = "none"


class PlainModel(RecipePart):
    """An encoder whose last layer gives the codes, and a decoder."""

    family: Literal["plain"]
    encoder: LayerSpecs
    decoder: LayerSpecs


class VariationalModel(RecipePart):
    """An encoder that gives a normal distribution over codes, and a decoder.

    Attributes:
        code_units: Dimensions of the code; mean and log variance are linear layers after the
            encoder's last one.
    """

    family: Literal["variational"]
    encoder: LayerSpecs
    code_units: PositiveInt
    decoder: LayerSpecs


ModelPart = Annotated[PlainModel | VariationalModel, Field(discriminator="family")]


class _Corruption(RecipePart):
    """What all corruptions can be told.

    Attributes:
        in_validation: Validation rows are corrupted too, so that early stopping judges denoising
            rather than copying.
        clean_share: Share of training rows left as they are, so that rows without corruption are
            not strange to the network either; none by default.
    """

    in_validation: bool = True
    clean_share: Fraction | None = None


class GaussianCorruption(_Corruption):
    """Independent normal noise on every scaled value.

    Attributes:
        standard_deviation: In scaled units.
        clip: Range that noisy values are cut to, or none.
    """

    kind: Literal["gaussian"]
    standard_deviation: PositiveFloat
    clip: tuple[float, float] | None = None


class DropoutCorruption(_Corruption):
    """Every value is set to 0 with probability ``rate``; the others stay as they are."""

    kind: Literal["dropout"]
    rate: Fraction


CorruptionPart = Annotated[GaussianCorruption | DropoutCorruption, Field(discriminator="kind")]


class Sgd(RecipePart):
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    learning_rate: PositiveFloat
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False


class Adam(RecipePart):
    """Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015."""

    name: Literal["adam"]
    learning_rate: PositiveFloat = 0.001


class Rmsprop(RecipePart):
    """Tieleman and Hinton, lecture 6.5 of Neural networks for machine learning, 2012."""

    name: Literal["rmsprop"]
    learning_rate: PositiveFloat = 0.001


OptimizerPart = Annotated[Sgd | Adam | Rmsprop, Field(discriminator="name")]


class CosineSchedule(RecipePart):
    """The learning rate rises over the first epochs, then falls along a half cosine.

    Attributes:
        warmup_epochs: Epochs of linear rise from 0.
        final_fraction: Last learning rate over the optimizer's.

    Source: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017.
    """

    kind: Literal["cosine"]
    warmup_epochs: NonNegativeInt = 0
    final_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0


class EarlyStopping(RecipePart):
    """Training ends once the validation loss has not improved for ``patience_epochs``."""

    patience_epochs: PositiveInt
    minimum_improvement: Annotated[float, Field(ge=0)] = 0.0


class TrainingPart(RecipePart):
    """How the objective is minimised.

    Attributes:
        published_epoch: ``best`` by validation loss; or the ``last``, which is for showing what
            memorisation looks like.
    """

    epochs: PositiveInt
    batch_rows: PositiveInt
    optimizer: OptimizerPart
    schedule: CosineSchedule | None = None
    early_stopping: EarlyStopping | None = None
    published_epoch: Literal["best", "last"] = "best"

    @model_validator(mode="after")
    def _schedule_fits_into_the_epochs(self) -> Self:
        if self.schedule is not None and self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"{self.schedule.warmup_epochs} warm-up epochs leave none of {self.epochs}"
            )
        return self


class LayerwiseStage(RecipePart):
    """Some layers of the model, fitted alone before the whole is.

    Its encoder layers follow those of the stage before, its decoder layers come before them: a
    stage turns the codes of the one before into codes of its own and back. Earlier stages stay
    as they are, and nothing is corrupted.

    Attributes:
        encoder_layers: How many further layers of ``model.encoder``.
        decoder_layers: How many further layers of ``model.decoder``, counted from its end.
        reconstruction: Loss between what the stage is given and what it gives back.
        training: How it is minimised.

    Source: Bengio et al., Greedy layer-wise training of deep networks, NIPS 2006.
    """

    encoder_layers: PositiveInt
    decoder_layers: PositiveInt
    reconstruction: ReconstructionLoss
    training: TrainingPart


class AnomalyPart(RecipePart):
    """Which scores the bundle carries, by the names of ``scorers``."""

    scores: Annotated[tuple[Name, ...], Field(min_length=1)] = ("reconstruction-error",)
    default_false_positive_rate: Rate = 0.01


class CodeDensityPart(RecipePart):
    """The Gaussian mixture fitted to training codes.

    Attributes:
        components: Sizes to choose from by the Bayesian information criterion, tried from small
            to large until it rises.
        fit_rows: Most training rows to fit to, drawn by seed.
    """

    components: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2, 4, 8, 16, 32)
    fit_rows: PositiveInt = 10_000


class PublishedFigure(RecipePart):
    """What others report for this system; the measured figure is published beside it."""

    metric: Annotated[str, Field(min_length=1)]
    split: MetricSplit
    value: float
    note: str | None = None


class Recipe(RecipePart):
    """One training run from data to bundle.

    Attributes:
        name: The bundle's name.
        description: One sentence for whoever chooses between bundles.
        seed: Everything random follows from it.
        layerwise: Stages that come before training the whole; none by default.
    """

    name: Name
    description: Annotated[str, Field(min_length=1)]
    seed: NonNegativeInt = 0
    data: DataPart
    model: ModelPart
    corruption: CorruptionPart | None = None
    objective: ObjectivePart
    training: TrainingPart
    layerwise: tuple[LayerwiseStage, ...] = ()
    anomaly: AnomalyPart = AnomalyPart()
    code_density: CodeDensityPart = CodeDensityPart()
    published: tuple[PublishedFigure, ...] = ()

    @model_validator(mode="after")
    def _divergence_is_weighted_where_there_is_one(self) -> Self:
        if (self.model.family == "variational") != (self.objective.kl_weight is not None):
            raise ValueError("objective.kl_weight belongs to exactly the variational models")
        return self

    @model_validator(mode="after")
    def _conditions_join_somewhere(self) -> Self:
        layers = (*self.model.encoder, *self.model.decoder)
        joined = any(spec.layer == "condition" for spec in layers)
        if joined != (self.data.conditions is not None):
            raise ValueError("data.conditions and condition layers in the model need each other")
        return self

    @model_validator(mode="after")
    def _tied_layers_name_dense_ones(self) -> Self:
        if any(isinstance(spec, TiedDenseSpec) for spec in self.model.encoder):
            raise ValueError("model.encoder: only a decoder can be tied to the encoder")
        for position, spec in enumerate(self.model.decoder):
            if isinstance(spec, TiedDenseSpec):
                named = self.model.encoder[spec.encoder_layer : spec.encoder_layer + 1]
                if not (named and isinstance(named[0], DenseSpec)):
                    raise ValueError(
                        f"model.decoder[{position}]: model.encoder[{spec.encoder_layer}] is no"
                        " dense layer to be tied to"
                    )
        return self

    @model_validator(mode="after")
    def _sparse_codes_are_activations(self) -> Self:
        sparse = any(penalty.kind == "kl-sparsity" for penalty in self.objective.penalties)
        last = self.model.encoder[-1]
        activation = getattr(last, "activation", None)
        if sparse and (self.model.family != "plain" or activation != "sigmoid"):
            raise ValueError(
                "a kl-sparsity penalty needs a plain model whose codes come from a sigmoid"
            )
        return self

    @model_validator(mode="after")
    def _stages_use_every_layer_once(self) -> Self:
        if not self.layerwise:
            return self
        if self.model.family != "plain" or self.data.conditions:
            raise ValueError("layerwise stages are for plain models without conditions")
        encoder = sum(stage.encoder_layers for stage in self.layerwise)
        decoder = sum(stage.decoder_layers for stage in self.layerwise)
        if (encoder, decoder) != (len(self.model.encoder), len(self.model.decoder)):
            raise ValueError(
                f"layerwise: {encoder} encoder and {decoder} decoder layers in stages, the model"
                f" has {len(self.model.encoder)} and {len(self.model.decoder)}"
            )
        return self

    @property
    def most_epochs(self) -> int:
        """How many epochs there will be, stages included, unless one of them stops early."""
        return self.training.epochs + sum(stage.training.epochs for stage in self.layerwise)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the whole recipe, defaults included, as it is kept in the manifest."""
        return self.model_dump(mode="json")

    def weights_digest(self) -> str:
        """Digest what decides the trained weights: two recipes of one digest can share a run.

        Returns:
            12 hexadecimal digits. Description, scores, code density and published figures do not
            change it, so a finished run can be exported again under other ones.
        """
        decisive: dict[str, Any] = self.model_dump(mode="json", include=_DECISIVE_PARTS)
        for path in _ABSENT_BY_DEFAULT:
            *parents, field = path.split(".")
            part = decisive
            for parent in parents:
                part = part[parent] or {}
            if part.get(field) in _ABSENT:
                part.pop(field, None)
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]
