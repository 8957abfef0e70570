"""The base class of all parts of a recipe."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, lt=1)]


class RecipePart(BaseModel):
    """One table of a recipe: strict types, no unknown keys, no later change."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
