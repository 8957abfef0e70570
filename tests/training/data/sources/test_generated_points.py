"""Generated points lie where their documentation says, and follow from the recipe's seed."""

from collections.abc import Callable

import numpy as np
import pytest

from training.arrays import FloatArray
from training.data.source_registry import open_source
from training.data.sources.generated_points import (
    CURVE_NOISE,
    PLANE_NOISE,
    PLANE_NORMAL,
    plane_points,
    sine_points,
)
from training.data.splitting import split_source
from training.recipe.files import load_recipe


def test_sine_points_scatter_around_the_curve_by_the_noise() -> None:
    x, y = sine_points(3).astype(np.float64).T
    assert np.quantile(x, [0.01, 0.99]) == pytest.approx([-2.156, 2.156], abs=0.03)
    # To first order, a point's distance along y has the noise of both coordinates in it.
    residuals = (y - np.sin(x)) / np.sqrt(1 + np.square(np.cos(x)))
    assert residuals.std() == pytest.approx(CURVE_NOISE, rel=0.05)
    assert abs(residuals.mean()) < 0.005


def test_plane_points_scatter_around_the_plane_by_the_noise() -> None:
    points = plane_points(3).astype(np.float64)
    normal = np.array(PLANE_NORMAL) / np.linalg.norm(PLANE_NORMAL)
    assert (points @ normal).std() == pytest.approx(PLANE_NOISE, rel=0.05)
    deviations = np.sqrt(np.linalg.eigvalsh(np.cov(points.T)))
    assert deviations == pytest.approx([0.1, np.hypot(0.6, 0.1), np.hypot(1, 0.1)], rel=0.05)


@pytest.mark.parametrize("generate", [sine_points, plane_points])
def test_points_follow_from_the_seed_alone(generate: Callable[[int], FloatArray]) -> None:
    np.testing.assert_array_equal(generate(4), generate(4))
    assert not np.array_equal(generate(4), generate(5))


def test_a_generated_data_set_is_a_table_with_named_columns_and_its_own_digest() -> None:
    plane, other = (open_source("plane", seed=seed).describe() for seed in (1, 2))
    assert plane.input.kind == "tabular"
    assert [column.name for column in plane.input.columns or ()] == ["x", "y", "z"]
    assert plane.sha256 != other.sha256


def test_training_rows_can_be_few_while_the_other_parts_stay_as_they_are() -> None:
    recipes = [load_recipe("sine-overfit", [f"data.train_rows={count}"]) for count in (25, 4000)]
    few, all_rows = (
        split_source(open_source("sine", seed=34), recipe.data, 34) for recipe in recipes
    )
    assert len(few.train) == 25
    assert len(all_rows.train) == 1000
    assert np.isin(few.train.indices, all_rows.train.indices).all()
    np.testing.assert_array_equal(few.test.indices, all_rows.test.indices)
