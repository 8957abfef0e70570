"""Four disjoint parts of a data set, each with one purpose.

Weights are fitted to ``train``. ``validation`` decides when to stop, the scaling constants and
the size of the code density. ``calibration`` holds normal rows and is used once, after all that
is fixed. ``test`` gives the reported figures.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.arrays import FloatArray, IntegerArray
from training.data.datasets import Dataset
from training.errors import RecipeError
from training.recipe.data import DataPart
from training.seeds import Stream, generator

PartName = Literal["train", "validation", "calibration", "test"]


@dataclass(frozen=True)
class Part:
    """Some rows of a data set.

    Attributes:
        indices: Which rows of the data set, (rows,).
        rows: Raw units, (rows, *row shape).
        labels: Class of each row, (rows,).
        conditions: What a conditional model is told beside each row, (rows, 1); None for others.
    """

    indices: IntegerArray
    rows: FloatArray
    labels: IntegerArray
    conditions: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Split:
    """The four parts; no row is in two, and none left out unless the recipe limits training rows.

    Attributes:
        train: Normal rows.
        validation: Normal rows.
        calibration: Normal rows.
        test: Normal rows, and every row that is not.
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
        """Return the test rows of normal classes alone."""
        normal, test = ~self.abnormal_test_rows(), self.test
        conditions = None if test.conditions is None else test.conditions[normal]
        return Part(test.indices[normal], test.rows[normal], test.labels[normal], conditions)

    def abnormal_test_rows(self) -> NDArray[np.bool_]:
        """Tell which test rows are of a class that is not normal, (rows,)."""
        return ~np.isin(self.test.labels, self.normal_labels)


def split_dataset(dataset: Dataset, data: DataPart, seed: int) -> Split:
    """Split a data set in four as a recipe says.

    Rows of classes that are not normal are all test rows. So are those of the data set's own
    test set; without one, ``test_rows`` normal rows are drawn.

    Args:
        dataset: The rows.
        data: The recipe's part.
        seed: The recipe's seed, which decides every draw.

    Raises:
        RecipeError: A class is unknown, there are too few rows, or the test rows are set twice
            or never.
    """
    if bool(dataset.test_rows) == (data.test_rows is not None):
        need = "has a test set of its own, leave out" if dataset.test_rows else "needs"
        raise RecipeError(f"{dataset.title} {need} data.test_rows")
    normal_labels = _normal_labels(dataset, data)
    normal = np.isin(dataset.labels, normal_labels)
    own_test = np.arange(len(dataset.rows)) >= len(dataset.rows) - dataset.test_rows
    pool = np.flatnonzero(normal & ~own_test)
    wanted = (data.test_rows or 0) + data.validation_rows + data.calibration_rows
    if wanted >= len(pool):
        raise RecipeError(
            f"data: {wanted} rows for validation, calibration and test leave none of"
            f" {len(pool)} to train on"
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
    parts = (_part(dataset, data, indices) for indices in (train, validation, calibration, test))
    return Split(*parts, normal_labels=normal_labels)


def _normal_labels(dataset: Dataset, data: DataPart) -> tuple[int, ...]:
    if data.normal_classes is None:
        return tuple(range(len(dataset.classes)))
    if unknown := [name for name in data.normal_classes if name not in dataset.classes]:
        raise RecipeError(
            f"data.normal_classes: {dataset.title} has no class {unknown[0]!r}; it has"
            f" {', '.join(dataset.classes)}"
        )
    return tuple(dataset.classes.index(name) for name in data.normal_classes)


def _draw(
    pool: IntegerArray, count: int, random: np.random.Generator
) -> tuple[IntegerArray, IntegerArray]:
    chosen = np.zeros(len(pool), bool)
    chosen[random.choice(len(pool), count, replace=False)] = True
    return pool[chosen], pool[~chosen]


def _part(dataset: Dataset, data: DataPart, indices: IntegerArray) -> Part:
    labels = dataset.labels[indices]
    conditions = labels[:, np.newaxis].astype(np.float32) if data.conditions else None
    return Part(indices, dataset.rows[indices], labels, conditions)
