from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bundle.manifest import InputSpec
from training.data.in_memory import InMemorySource, LoadedData
from training.data.source import DataDescription
from training.data.splitting import Split, split_source
from training.errors import RecipeError
from training.recipe.data import DataPart

ROWS = 40


def source(test_rows: int = 0) -> InMemorySource:
    """Forty rows that hold their own number, of class "odd" or "even" by turns."""
    description = DataDescription(
        title="Numbers",
        origin="here",
        licence="none",
        attribution="none",
        input=InputSpec(kind="tabular", shape=(1,), units="1"),
        classes=("even", "odd"),
        test_rows=test_rows,
        sha256="0" * 64,
    )
    rows = np.arange(ROWS, dtype=np.float32)[:, np.newaxis]
    return InMemorySource(lambda: LoadedData(description, rows, np.arange(ROWS) % 2))


def data_part(**changes: Any) -> DataPart:
    fields = {"dataset": "digits", "validation_rows": 5, "calibration_rows": 6, **changes}
    return DataPart(**fields)


def indices(split: Split) -> dict[str, list[int]]:
    return {name: part.indices.tolist() for name, part in split.parts().items()}


@given(
    seed=st.integers(0, 2**32),
    validation=st.integers(1, 6),
    calibration=st.integers(1, 6),
    test=st.integers(1, 6),
    end=st.booleans(),
    normal=st.sampled_from([None, ("even",), ("odd",), ("even", "odd")]),
)
def test_every_row_is_in_exactly_one_part(
    seed: int,
    validation: int,
    calibration: int,
    test: int,
    end: bool,
    normal: tuple[str, ...] | None,
) -> None:
    part = data_part(
        validation_rows=validation,
        calibration_rows=calibration,
        test_rows=test,
        validation_from="end" if end else "random",
        normal_classes=normal,
    )

    found = indices(split_source(source(), part, seed))

    assert sorted(chain.from_iterable(found.values())) == list(range(ROWS))
    assert len(found["validation"]) == validation
    assert len(found["calibration"]) == calibration


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    part = data_part(test_rows=4)

    first, again, other = (indices(split_source(source(), part, seed)) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_a_data_sets_own_test_rows_are_the_test_rows() -> None:
    split = split_source(source(test_rows=10), data_part(), seed=1)

    assert split.test.indices.tolist() == list(range(30, 40))


def test_validation_rows_from_the_end_are_the_last_before_the_test_set() -> None:
    split = split_source(source(test_rows=10), data_part(validation_from="end"), seed=1)

    assert split.validation.indices.tolist() == list(range(25, 30))


def test_rows_that_are_not_normal_are_test_rows_only() -> None:
    part = data_part(test_rows=4, normal_classes=("even",))

    split = split_source(source(), part, seed=1)

    for kept in (split.train, split.validation, split.calibration):
        assert set(kept.labels) == {0}
    assert len(split.test) == 20 + 4
    np.testing.assert_array_equal(split.abnormal_test_rows(), split.test.labels == 1)


def test_rows_and_labels_are_those_of_the_indices() -> None:
    split = split_source(source(), data_part(test_rows=4), seed=1)

    for part in split.parts().values():
        np.testing.assert_array_equal(part.rows[:, 0], part.indices)
        np.testing.assert_array_equal(part.labels, part.indices % 2)


@pytest.mark.parametrize(
    ("own_test_rows", "changes", "sentence"),
    [
        (10, {"test_rows": 4}, r"has its own test set, leave out data\.test_rows"),
        (0, {}, r"Numbers needs data\.test_rows"),
        (
            0,
            {"test_rows": 29},
            "40 rows for validation, calibration and test, expected fewer than the 40",
        ),
        (0, {"test_rows": 1, "normal_classes": ("prime",)}, "no class 'prime'; it has even, odd"),
    ],
)
def test_a_split_that_is_not_possible_is_rejected(
    own_test_rows: int, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RecipeError, match=sentence):
        split_source(source(own_test_rows), data_part(**changes), seed=1)
