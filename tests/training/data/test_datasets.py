import os

import numpy as np
import pytest

from training.data.datasets import load_dataset
from training.recipe.data import DatasetName


def test_digits_are_brightnesses_of_1797_images() -> None:
    digits = load_dataset("digits", seed=0)

    assert digits.rows.shape == (1797, 8, 8, 1)
    assert digits.rows.dtype == np.float32
    assert (digits.rows.min(), digits.rows.max()) == (0.0, 1.0)
    assert set(np.unique(digits.rows * 16)) == set(range(17))
    np.testing.assert_array_equal(digits.labels[:10], range(10))


def test_the_digest_is_that_of_what_was_read() -> None:
    assert load_dataset("digits", seed=0).sha256 == load_dataset("digits", seed=0).sha256
    assert len(load_dataset("digits", seed=0).sha256) == 64


@pytest.mark.skipif(
    "LATENTSERVE_DATA_DIR" not in os.environ,
    reason="LATENTSERVE_DATA_DIR names no folder of data files",
)
@pytest.mark.parametrize(
    ("name", "shape", "test_rows", "rows_of_first_class"),
    [
        ("mnist", (70_000, 28, 28, 1), 10_000, 6_903),
        ("fashion-mnist", (70_000, 28, 28, 1), 10_000, 7_000),
        ("ecg5000", (5_000, 140, 1), 0, 2_919),
    ],
)
def test_a_public_original_is_read_as_described(
    name: DatasetName,
    shape: tuple[int, ...],
    test_rows: int,
    rows_of_first_class: int,
) -> None:
    dataset = load_dataset(name, seed=0)

    assert dataset.rows.shape == shape
    assert dataset.rows.shape[1:] == dataset.input.shape
    assert dataset.test_rows == test_rows
    assert np.count_nonzero(dataset.labels == 0) == rows_of_first_class
