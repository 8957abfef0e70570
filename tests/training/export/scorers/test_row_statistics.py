"""Statistics of images and series, and how unusual they are together."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from training.export.scorers.row_statistics import (
    fit_statistics,
    has_statistics,
    row_statistics,
    statistics_distances,
)
from training.tensors import to_numpy

RANDOM = np.random.default_rng(2)


def test_a_table_has_no_statistics_of_whole_rows() -> None:
    shapes = [(5, 3), (5, 9, 1), (5, 8, 8, 3)]
    assert [has_statistics(np.zeros(shape)) for shape in shapes] == [False, True, True]


@pytest.mark.parametrize("shape", [(7, 30, 2), (7, 6, 5, 3)])
def test_statistics_are_those_that_numpy_computes(shape: tuple[int, ...]) -> None:
    rows = RANDOM.normal(1, 2, shape).astype(np.float32)
    axes = tuple(range(1, len(shape)))
    differences = [np.diff(rows, axis=axis) for axis in axes[:-1]]

    mean, variance, roughness = (to_numpy(part).reshape(-1) for part in row_statistics(rows))

    np.testing.assert_allclose(mean, rows.mean(axis=axes), rtol=1e-5)
    np.testing.assert_allclose(variance, rows.var(axis=axes), rtol=1e-5)
    expected = sum(np.square(each).mean(axis=axes) for each in differences)
    np.testing.assert_allclose(roughness, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 1, 2), (3, 1, 1, 1)])
def test_rows_without_neighbors_have_a_roughness_of_zero(shape: tuple[int, ...]) -> None:
    _, _, roughness = row_statistics(RANDOM.normal(size=shape).astype(np.float32))

    np.testing.assert_array_equal(to_numpy(roughness).reshape(-1), np.zeros(3))


def test_distances_are_those_of_mahalanobis_in_the_chosen_columns() -> None:
    mixing = np.array([[1.0, 0.5, 0, 0], [0, 2, 0, 1], [0, 0, 3, 0], [0, 0, 0, 0.1]])
    fitted = (RANDOM.normal(size=(2000, 4)) @ mixing + [5, 0, 0, -1]).astype(np.float32)
    columns, values = [0, 1, 3], fitted[:50] * 3
    inverse = np.linalg.inv(np.cov(fitted[:, columns].T))
    center = fitted[:, columns].mean(axis=0)

    found = to_numpy(statistics_distances(fit_statistics(fitted, columns), values))[:, 0]

    expected = [mahalanobis(row, center, inverse) ** 2 for row in values[:, columns]]
    np.testing.assert_allclose(found, expected, rtol=0.02)
