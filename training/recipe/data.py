"""The data of a recipe, and how it is split."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, PositiveInt

from service.bundle.manifest import Name
from training.recipe.part import RecipePart


class DataPart(RecipePart):
    """The data, and how it is split into train, validation, calibration and test rows.

    Attributes:
        dataset: Name of a data source in ``training.data.source_registry``.
        options: Options of that source; each source defines its own.
        validation_rows: Rows for early stopping, scaling constants and the size of the mixture.
        validation_from: ``end``: the last rows of the data set; ``random``: drawn by seed.
        calibration_rows: Normal rows, used once, after everything else is fixed.
        test_rows: Test rows, drawn by seed; left out where the data set has its own test set.
        normal_classes: Classes to learn from; all by default. Rows of other classes are test rows.
        train_rows: Training rows, drawn by seed; all that are left by default.
        conditions: Second input of a conditional model: ``class`` for the class of the row.
        scaling: ``none`` for values that are in [0, 1] already; ``standardize`` to zero mean and
            unit variance, ``unit-range`` to [0, 1], both with one constant per channel or column.
    """

    dataset: Name
    options: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    validation_rows: PositiveInt
    validation_from: Literal["end", "random"] = "random"
    calibration_rows: PositiveInt
    test_rows: PositiveInt | None = None
    normal_classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    train_rows: PositiveInt | None = None
    conditions: Literal["class"] | None = None
    scaling: Literal["none", "standardize", "unit-range"] = "none"
