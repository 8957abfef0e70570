"""The terms of the objective: reconstruction loss, KL divergence, penalties on codes."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from training.recipe.part import Fraction, RecipePart

ReconstructionLoss = Literal["binary-cross-entropy", "mean-squared-error", "mean-absolute-error"]


class L1ActivityPenalty(RecipePart):
    """The sum of the absolute values of a row's codes, times ``weight``."""

    kind: Literal["l1-activity"]
    weight: PositiveFloat


class KlSparsityPenalty(RecipePart):
    """KL divergence of the units' mean activation from ``target_activation``, times ``weight``."""

    kind: Literal["kl-sparsity"]
    weight: PositiveFloat
    target_activation: Fraction


class ContractivePenalty(RecipePart):
    """Squared Frobenius norm of the encoder's Jacobian, times ``weight``."""

    kind: Literal["contractive"]
    weight: PositiveFloat


PenaltyPart = Annotated[
    L1ActivityPenalty | KlSparsityPenalty | ContractivePenalty, Field(discriminator="kind")
]


class ObjectivePart(RecipePart):
    """The objective that training minimizes, as a mean over rows.

    Attributes:
        reconstruction: Loss between clean and reconstructed values, both scaled, as a mean over
            the values of a row.
        reconstruction_weight: Factor on it; the number of values turns the mean into a sum.
        kl_weight: Factor on the divergence of a variational code from N(0, I), summed over the
            code's dimensions.
        kl_warmup_epochs: KL annealing: in training the weight rises linearly from 0 in the first
            epoch to its full value after this many. Validation always uses the full weight, so
            that epochs can be compared.
        free_nats_per_unit: Free bits: divergence of each dimension of the code, as a mean over a
            batch, below which it costs nothing more.
        penalties: Further terms on the codes, at most one of each kind.
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
            raise ValueError("objective.penalties has two penalties of one kind")
        return self

    @model_validator(mode="after")
    def _annealing_and_free_bits_need_a_divergence(self) -> Self:
        changed = self.kl_warmup_epochs or self.free_nats_per_unit
        if changed and self.kl_weight is None:
            raise ValueError("kl_warmup_epochs and free_nats_per_unit need a kl_weight")
        return self
