"""What one training run is to do: a frozen, validated configuration.

A variant of a published system is a TOML file of one's own, never Python: ``files`` reads
it, and whatever it says is checked before any data is read.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, NonNegativeInt, PositiveInt, model_validator

from service.bundle.manifest import Name, Rate
from training.recipe.corruption import CorruptionPart
from training.recipe.data import DataPart
from training.recipe.layers import DenseSpec, TiedDenseSpec
from training.recipe.model import ModelPart
from training.recipe.objective import ObjectivePart
from training.recipe.optimization import LayerwiseStage, TrainingPart
from training.recipe.part import RecipePart

MetricSplit = Literal["validation", "test"]


_DECISIVE_PARTS = {"seed", "data", "model", "corruption", "objective", "training", "layerwise"}
# A recipe that does not use one of these has the digest that it had before there was such a field.
_ABSENT_BY_DEFAULT = (
    *("data.train_rows", "data.conditions", "training.published_epoch", "layerwise"),
    "corruption.clean_share",
    *("objective.kl_warmup_epochs", "objective.free_nats_per_unit", "objective.penalties"),
)
_ABSENT: tuple[JsonValue, ...] = (None, [], "best")


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
