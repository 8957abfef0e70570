"""What a recipe can have minimised, as data: the reconstruction, the divergence, the penalties."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from training.recipe.part import Fraction, RecipePart

ReconstructionLoss = Literal["binary-cross-entropy", "mean-squared-error", "mean-absolute-error"]


class L1ActivityPenalty(RecipePart):
    """The sum of the absolute values of a row's codes, times ``weight``."""

    kind: Literal["l1-activity"]
    weight: PositiveFloat


class KlSparsityPenalty(RecipePart):
    """How far units are from being active ``target_activation`` of the time, times ``weight``."""

    kind: Literal["kl-sparsity"]
    weight: PositiveFloat
    target_activation: Fraction


class ContractivePenalty(RecipePart):
    """How strongly codes react to small changes of a row, times ``weight``."""

    kind: Literal["contractive"]
    weight: PositiveFloat


PenaltyPart = Annotated[
    L1ActivityPenalty | KlSparsityPenalty | ContractivePenalty, Field(discriminator="kind")
]


class ObjectivePart(RecipePart):
    """What training minimises, per row.

    Attributes:
        reconstruction: Loss between clean and reconstructed values, both scaled, as a mean over
            the values of a row.
        reconstruction_weight: Factor on it; the number of values turns the mean into a sum.
        kl_weight: Factor on the divergence of a variational code from N(0, I), summed over the
            code's dimensions.
        kl_warmup_epochs: In training, that weight rises from 0 in the first epoch to its whole
            after this many. Validation always counts it whole, so that epochs compare.
        free_nats_per_unit: Divergence that each dimension of the code may have at no cost, as a
            mean over a batch ("free bits").
        penalties: What else codes are punished for, at most one of each kind.
    """

    reconstruction: ReconstructionLoss
    reconstruction_weight: PositiveFloat = 1.0
    kl_weight: PositiveFloat | None = None
    kl_warmup_epochs: PositiveInt | None = None
    free_nats_per_unit: PositiveFloat | None = None
    penalties: tuple[PenaltyPart, ...] = ()

    @model_validator(mode="after")
    def _each_kind_of_penalty_once(self) -> Self:
        kinds = [penalty.kind for penalty in self.penalties]
        if len(set(kinds)) < len(kinds):
            raise ValueError("objective.penalties has two of one kind")
        return self

    @model_validator(mode="after")
    def _only_a_divergence_is_eased(self) -> Self:
        eased = self.kl_warmup_epochs or self.free_nats_per_unit
        if eased and self.kl_weight is None:
            raise ValueError("kl_warmup_epochs and free_nats_per_unit need a kl_weight to ease")
        return self
