"""Selected rows are gathered in one pass, whatever the size of the batches."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bundle.manifest import InputSpec
from training.arrays import FloatArray, IntegerArray
from training.data.in_memory import InMemorySource, LoadedData
from training.data.reading import gather_rows, read_rows
from training.data.source import DataDescription
from training.errors import DatasetCorrupted

ROWS = 9000  # more than two batches


def description(columns: int = 2) -> DataDescription:
    spec = InputSpec(kind="tabular", shape=(columns,), units="1")
    return DataDescription("Numbers", "a test", "none", "none", spec, ("row",), 0, "0" * 64)


def numbers() -> LoadedData:
    rows = np.arange(2 * ROWS, dtype=np.float32).reshape(ROWS, 2)
    return LoadedData(description(), rows, np.zeros(ROWS, np.int64))


@given(st.lists(st.sets(st.integers(0, ROWS - 1), max_size=20), min_size=1, max_size=4))
def test_every_selection_gets_its_rows_in_order(chosen: list[set[int]]) -> None:
    selections = [np.array(sorted(indices), np.int64) for indices in chosen]

    gathered = gather_rows(InMemorySource(numbers), selections)

    for rows, selection in zip(gathered, selections, strict=True):
        np.testing.assert_array_equal(rows, numbers().rows[selection])


def test_all_rows_can_be_read_at_once() -> None:
    np.testing.assert_array_equal(read_rows(InMemorySource(numbers)), numbers().rows)


def test_data_is_loaded_once_and_only_when_it_is_read() -> None:
    calls: list[int] = []

    def load() -> LoadedData:
        calls.append(1)
        return numbers()

    source = InMemorySource(load)
    assert calls == []
    for _ in range(2):
        read_rows(source)
    assert calls == [1]


class Wrong:
    """A source whose rows are not those that it describes."""

    def __init__(self, columns: int, labels: int) -> None:
        self.columns, self.label_count = columns, labels

    def describe(self) -> DataDescription:
        return description(self.columns)

    def labels(self) -> IntegerArray:
        return np.zeros(self.label_count, np.int64)

    def batches(self, max_rows: int) -> Iterator[FloatArray]:
        yield np.zeros((min(10, max_rows), 2), np.float32)


def test_rows_of_another_shape_than_described_are_an_error() -> None:
    with pytest.raises(DatasetCorrupted, match=r"rows have shape \(2,\), described is \(3,\)"):
        read_rows(Wrong(columns=3, labels=10))


def test_another_number_of_rows_than_of_labels_is_an_error() -> None:
    with pytest.raises(DatasetCorrupted, match="10 rows were read, and 12 have labels"):
        read_rows(Wrong(columns=2, labels=12))
