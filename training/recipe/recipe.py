"""The configuration of one training run: frozen, validated, read from TOML by ``files``.

Everything that can be checked without the data is checked when a recipe is read.
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

# The first is the bundle's default.
DEFAULT_SCORES = ("atypicality", "reconstruction-error")

_DECISIVE_PARTS = {"seed", "data", "model", "corruption", "objective", "training", "layerwise"}
# Fields that were added later: a recipe that does not use them keeps its earlier digest.
_ABSENT_BY_DEFAULT = (
    *("data.options", "data.train_rows", "data.conditions"),
    *("training.published_epoch", "layerwise"),
    "corruption.clean_fraction",
    *("objective.kl_warmup_epochs", "objective.free_nats_per_unit", "objective.penalties"),
)
_ABSENT: tuple[JsonValue, ...] = (None, [], {}, "best")


class AnomalyPart(RecipePart):
    """The scores of the bundle, by their names in ``training.export.scorers``; default first."""

    scores: Annotated[tuple[Name, ...], Field(min_length=1)] = DEFAULT_SCORES
    default_false_positive_rate: Rate = 0.01


class CodeDensityPart(RecipePart):
    """The Gaussian mixture fitted to training codes.

    Attributes:
        components: Numbers of components, tried in ascending order until the Bayesian information
            criterion rises; the lowest criterion wins.
        fit_rows: Maximum number of training rows to fit to, drawn by seed.
    """

    components: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2, 4, 8, 16, 32)
    fit_rows: PositiveInt = 10_000


class PublishedFigure(RecipePart):
    """A figure that others report for this system, shown beside the measured one."""

    metric: Annotated[str, Field(min_length=1)]
    split: MetricSplit
    value: float
    note: str | None = None


class Recipe(RecipePart):
    """One training run from data to bundle.

    Attributes:
        name: The bundle's name.
        description: One sentence for users who choose between bundles.
        seed: Every random draw follows from it.
        layerwise: Stages before the whole model is trained; none by default.
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
    def _exactly_variational_models_have_a_divergence(self) -> Self:
        if (self.model.family == "variational") != (self.objective.kl_weight is not None):
            raise ValueError("objective.kl_weight is required for variational models only")
        return self

    @model_validator(mode="after")
    def _conditions_are_an_input_of_some_layer(self) -> Self:
        layers = (*self.model.encoder, *self.model.decoder)
        joined = any(spec.layer == "condition" for spec in layers)
        if joined != (self.data.conditions is not None):
            raise ValueError(
                "data.conditions and condition layers in the model are required together"
            )
        return self

    @model_validator(mode="after")
    def _tied_layers_name_dense_ones(self) -> Self:
        if any(isinstance(spec, TiedDenseSpec) for spec in self.model.encoder):
            raise ValueError("model.encoder: tied-dense layers are for the decoder")
        for position, spec in enumerate(self.model.decoder):
            if isinstance(spec, TiedDenseSpec):
                named = self.model.encoder[spec.encoder_layer : spec.encoder_layer + 1]
                if not (named and isinstance(named[0], DenseSpec)):
                    raise ValueError(
                        f"model.decoder[{position}]: model.encoder[{spec.encoder_layer}] is not a"
                        " dense layer"
                    )
        return self

    @model_validator(mode="after")
    def _sparse_codes_are_activations(self) -> Self:
        sparse = any(penalty.kind == "kl-sparsity" for penalty in self.objective.penalties)
        last = self.model.encoder[-1]
        activation = getattr(last, "activation", None)
        if sparse and (self.model.family != "plain" or activation != "sigmoid"):
            raise ValueError(
                "a kl-sparsity penalty needs a plain model whose code layer is a sigmoid"
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
    def max_epochs(self) -> int:
        """Maximum number of epochs, those of stages included; early stopping may end it before."""
        return self.training.epochs + sum(stage.training.epochs for stage in self.layerwise)

    def to_json(self) -> dict[str, JsonValue]:
        """Return all fields, defaults included, as the manifest's provenance holds them."""
        return self.model_dump(mode="json")

    def weights_digest(self) -> str:
        """Digest the fields that the trained weights depend on: recipes of one digest share a run.

        Returns:
            12 hexadecimal digits. Description, scores, code density and published figures are
            left out, so a finished run can be exported again after changing them.
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
