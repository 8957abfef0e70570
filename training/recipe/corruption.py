"""The noise that training rows are corrupted with, which the network learns to remove."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from training.recipe.part import Fraction, RecipePart


class _Corruption(RecipePart):
    """The fields that all corruptions have.

    Attributes:
        in_validation: Corrupt validation rows too, so that early stopping measures denoising and
            not copying.
        clean_fraction: Fraction of training rows that are not corrupted, so that the network also
            learns to reconstruct clean rows; all are corrupted by default.
    """

    in_validation: bool = True
    clean_fraction: Fraction | None = None


class GaussianCorruption(_Corruption):
    """Independent normal noise on every scaled value.

    Attributes:
        standard_deviation: In scaled units.
        clip: Range that noisy values are clipped to; not clipped by default.
    """

    kind: Literal["gaussian"]
    standard_deviation: PositiveFloat
    clip: tuple[float, float] | None = None


class MaskingCorruption(_Corruption):
    """Masking noise: every value is set to 0 with probability ``rate``; the others are unchanged.

    Source: Vincent et al., Extracting and composing robust features with denoising autoencoders,
        ICML 2008.
    """

    kind: Literal["masking"]
    rate: Fraction


CorruptionPart = Annotated[GaussianCorruption | MaskingCorruption, Field(discriminator="kind")]
