"""Which data a recipe is about, and how it is split."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from training.recipe.part import RecipePart

DatasetName = Literal["digits", "mnist", "fashion-mnist", "ecg5000", "sine", "plane"]


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
