"""Four disjoint parts of the data, each with one purpose.

- ``train``: weights are fitted to it.
- ``validation``: decides when to stop, scaling constants, and the size of the code density.
- ``calibration``: normal rows, used once, after all that is fixed.
- ``test``: gives the reported figures.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.arrays import FloatArray, IntegerArray
from training.data.reading import gather_rows
from training.data.source import DataDescription, DataSource
from training.errors import RecipeError
from training.recipe.data import DataPart
from training.seeds import Stream, generator

PartName = Literal["train", "validation", "calibration", "test"]


@dataclass(frozen=True)
class Part:
    """Some rows of the data.

    Attributes:
        indices: Positions in the data, (rows,).
        rows: Raw units, (rows, *row shape).
        labels: Class of each row, (rows,).
        conditions: Second input of a conditional model, (rows, 1); None for other models.
    """

    indices: IntegerArray
    rows: FloatArray
    labels: IntegerArray
    conditions: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Split:
    """The four parts; every row is in one, unless the recipe limits the training rows.

    Attributes:
        train: Normal rows.
        validation: Normal rows.
        calibration: Normal rows.
        test: Normal rows, and all rows that are not normal.
        normal_labels: Labels of the classes that are normal.
    """

    train: Part
    validation: Part
    calibration: Part
    test: Part
    normal_labels: tuple[int, ...]

    def parts(self) -> dict[PartName, Part]:
        """Return the parts by name."""
        return {
            "train": self.train,
            "validation": self.validation,
            "calibration": self.calibration,
            "test": self.test,
        }

    def normal_test(self) -> Part:
        """Return the test rows of normal classes."""
        normal, test = ~self.abnormal_test_rows(), self.test
        conditions = None if test.conditions is None else test.conditions[normal]
        return Part(test.indices[normal], test.rows[normal], test.labels[normal], conditions)

    def abnormal_test_rows(self) -> NDArray[np.bool_]:
        """Return which test rows are of a class that is not normal, (rows,)."""
        return ~np.isin(self.test.labels, self.normal_labels)


def split_source(source: DataSource, data: DataPart, seed: int) -> Split:
    """Read a source, and split its rows into four parts as a recipe states.

    Rows of classes that are not normal are test rows, and so are those of the data's own test
    set; without one, ``test_rows`` normal rows are drawn. Rows that are in no part are not kept in
    memory.

    Args:
        source: The data.
        data: The recipe's part.
        seed: The recipe's seed, which all draws depend on.

    Raises:
        RecipeError: A class is unknown, there are too few rows, or the test rows are set twice
            or never.
        DatasetError: The data is not available, or is corrupted.
    """
    description, labels = source.describe(), source.labels()
    normal_labels = _normal_labels(description, data)
    indices = _choose_rows(description, labels, normal_labels, data, seed)
    rows = gather_rows(source, indices)
    parts = [
        _part(chosen, part_rows, labels[chosen], conditional=data.conditions is not None)
        for chosen, part_rows in zip(indices, rows, strict=True)
    ]
    return Split(*parts, normal_labels=normal_labels)


def _choose_rows(
    description: DataDescription,
    labels: IntegerArray,
    normal_labels: tuple[int, ...],
    data: DataPart,
    seed: int,
) -> tuple[IntegerArray, IntegerArray, IntegerArray, IntegerArray]:
    """Return the indices of train, validation, calibration and test rows, each ascending."""
    if bool(description.test_rows) == (data.test_rows is not None):
        need = "has its own test set, leave out" if description.test_rows else "needs"
        raise RecipeError(f"{description.title} {need} data.test_rows")
    normal = np.isin(labels, normal_labels)
    own_test = np.arange(len(labels)) >= len(labels) - description.test_rows
    pool = np.flatnonzero(normal & ~own_test)
    wanted = (data.test_rows or 0) + data.validation_rows + data.calibration_rows
    if wanted >= len(pool):
        raise RecipeError(
            f"data: {wanted} rows for validation, calibration and test, expected fewer than the"
            f" {len(pool)} that there are, to have rows to train on"
        )
    random = generator(seed, Stream.SPLIT)
    test, pool = _draw(pool, data.test_rows or 0, random)
    if data.validation_from == "end":
        validation, pool = pool[-data.validation_rows :], pool[: -data.validation_rows]
    else:
        validation, pool = _draw(pool, data.validation_rows, random)
    calibration, train = _draw(pool, data.calibration_rows, random)
    if data.train_rows is not None:
        train, _ = _draw(train, min(data.train_rows, len(train)), random)
    test = np.union1d(test, np.flatnonzero(own_test | ~normal))
    return train, validation, calibration, test


def _normal_labels(description: DataDescription, data: DataPart) -> tuple[int, ...]:
    if data.normal_classes is None:
        return tuple(range(len(description.classes)))
    if unknown := [name for name in data.normal_classes if name not in description.classes]:
        raise RecipeError(
            f"data.normal_classes: {description.title} has no class {unknown[0]!r}; it has"
            f" {', '.join(description.classes)}"
        )
    return tuple(description.classes.index(name) for name in data.normal_classes)


def _draw(
    pool: IntegerArray, count: int, random: np.random.Generator
) -> tuple[IntegerArray, IntegerArray]:
    chosen = np.zeros(len(pool), bool)
    chosen[random.choice(len(pool), count, replace=False)] = True
    return pool[chosen], pool[~chosen]


def _part(
    indices: IntegerArray, rows: FloatArray, labels: IntegerArray, *, conditional: bool
) -> Part:
    conditions = labels[:, np.newaxis].astype(np.float32) if conditional else None
    return Part(indices, rows, labels, conditions)
