"""The figures that benchmarks print are what their definitions say."""

import numpy as np
import pytest

from benchmarks.generation import frechet_distance, neighbouring_pairs, unlike_pairs


def test_features_are_at_no_distance_from_themselves() -> None:
    features = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)


def test_a_shift_counts_with_its_squared_length() -> None:
    features = np.random.default_rng(1).standard_normal((500, 3)).astype(np.float32)
    shifted = features + np.array([1, 2, 2], np.float32)
    assert frechet_distance(features, shifted) == pytest.approx(9, rel=1e-4)


def test_normal_distributions_without_correlation_are_apart_as_their_deviations_are() -> None:
    generator = np.random.default_rng(2)
    narrow = generator.normal(0, [1, 2], (200_000, 2)).astype(np.float32)
    wide = generator.normal(0, [3, 5], (200_000, 2)).astype(np.float32)
    assert frechet_distance(narrow, wide) == pytest.approx((3 - 1) ** 2 + (5 - 2) ** 2, rel=0.02)
    assert frechet_distance(wide, narrow) == pytest.approx(frechet_distance(narrow, wide))


def test_units_that_never_vary_do_no_harm() -> None:
    features = np.zeros((50, 4), np.float32)
    features[:, 0] = np.arange(50)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)


def test_unlike_rows_have_the_fewest_pixels_in_common() -> None:
    rows = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], np.float32)
    first, last = unlike_pairs(rows)
    assert first.tolist() == [0, 2]
    assert last[0] == 3
    assert last[1] in (1, 3)
    assert [side.tolist() for side in neighbouring_pairs(rows)] == [[0, 2], [1, 3]]
