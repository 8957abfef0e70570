"""What training rows are corrupted with, so that a network learns to undo it."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from training.recipe.part import Fraction, RecipePart


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
