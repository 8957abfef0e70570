"""What one training run is to do: a frozen, validated configuration.

A variant of a published system is a TOML file of one's own, never Python: ``recipe_files`` reads
it, and whatever it says is checked before any data is read.
"""

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from service.bundle.manifest import Name, Rate
from training.layer_specs import Fraction, LayerSpecs, RecipePart

DatasetName = Literal["digits", "mnist", "fashion-mnist", "ecg5000"]
MetricSplit = Literal["validation", "test"]


class DataPart(RecipePart):
    """Which data, and how it is split in four.

    Attributes:
        dataset: A name of ``datasets``.
        validation_rows: Rows for early stopping, scaling constants and the mixture's size.
        validation_from: ``end``: the last rows as the data set orders them; ``random``: by seed.
        calibration_rows: Normal rows, used once, after everything else is fixed.
        test_rows: Rows set aside by seed; left out where the data set has a test set of its own.
        normal_classes: Classes to learn from. Rows of any other class are only ever test rows.
        scaling: ``none`` for values that are in [0, 1] already; ``standardize`` to zero mean and
            unit variance, ``unit-range`` to [0, 1], both with one constant per channel or column.
    """

    dataset: DatasetName
    validation_rows: PositiveInt
    validation_from: Literal["end", "random"] = "random"
    calibration_rows: PositiveInt
    test_rows: PositiveInt | None = None
    normal_classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
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


class GaussianCorruption(RecipePart):
    """Independent normal noise on every scaled value.

    Attributes:
        standard_deviation: In scaled units.
        clip: Range that noisy values are cut to, or none.
        in_validation: Noise is put on validation rows too, so that early stopping judges
            denoising rather than copying.
    """

    kind: Literal["gaussian"]
    standard_deviation: PositiveFloat
    clip: tuple[float, float] | None = None
    in_validation: bool = True


class DropoutCorruption(RecipePart):
    """Every value is set to 0 with probability ``rate``; the others stay as they are."""

    kind: Literal["dropout"]
    rate: Fraction
    in_validation: bool = True


CorruptionPart = Annotated[GaussianCorruption | DropoutCorruption, Field(discriminator="kind")]


class ObjectivePart(RecipePart):
    """What training minimises, per row.

    Attributes:
        reconstruction: Loss between clean and reconstructed values, both scaled, as a mean over
            the values of a row.
        reconstruction_weight: Factor on it; the number of values turns the mean into a sum.
        kl_weight: Factor on the divergence of a variational code from N(0, I), summed over the
            code's dimensions.
    """

    reconstruction: Literal["binary-cross-entropy", "mean-squared-error", "mean-absolute-error"]
    reconstruction_weight: PositiveFloat = 1.0
    kl_weight: PositiveFloat | None = None


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
    """How the objective is minimised. The best epoch by validation loss is the one published."""

    epochs: PositiveInt
    batch_rows: PositiveInt
    optimizer: OptimizerPart
    schedule: CosineSchedule | None = None
    early_stopping: EarlyStopping | None = None


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
    """

    name: Name
    description: Annotated[str, Field(min_length=1)]
    seed: NonNegativeInt = 0
    data: DataPart
    model: ModelPart
    corruption: CorruptionPart | None = None
    objective: ObjectivePart
    training: TrainingPart
    anomaly: AnomalyPart = AnomalyPart()
    code_density: CodeDensityPart = CodeDensityPart()
    published: tuple[PublishedFigure, ...] = ()

    @model_validator(mode="after")
    def _divergence_is_weighted_where_there_is_one(self) -> Self:
        if (self.model.family == "variational") != (self.objective.kl_weight is not None):
            raise ValueError("objective.kl_weight belongs to exactly the variational models")
        return self

    @model_validator(mode="after")
    def _schedule_fits_into_the_epochs(self) -> Self:
        schedule = self.training.schedule
        if schedule is not None and schedule.warmup_epochs >= self.training.epochs:
            raise ValueError(
                f"{schedule.warmup_epochs} warm-up epochs leave none of {self.training.epochs}"
            )
        return self

    def to_json(self) -> dict[str, JsonValue]:
        """Return the whole recipe, defaults included, as it is kept in the manifest."""
        return self.model_dump(mode="json")

    def weights_digest(self) -> str:
        """Digest what decides the trained weights: two recipes of one digest can share a run.

        Returns:
            12 hexadecimal digits. Description, scores, code density and published figures do not
            change it, so a finished run can be exported again under other ones.
        """
        decisive = self.model_dump(
            mode="json", include={"seed", "data", "model", "corruption", "objective", "training"}
        )
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]
