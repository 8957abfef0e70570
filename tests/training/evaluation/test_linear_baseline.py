"""Principal components are what they are said to be, and angles between subspaces are right."""

import numpy as np
import pytest

from training.evaluation.linear_baseline import fit_linear_baseline, principal_angle_degrees


def plane_rows(count: int = 300) -> np.ndarray:
    """Rows near a plane in five dimensions."""
    generator = np.random.default_rng(0)
    axes = np.linalg.qr(generator.standard_normal((5, 2)))[0].T
    rows = generator.standard_normal((count, 2)) * [3, 1] @ axes
    return (rows + 0.01 * generator.standard_normal((count, 5)) + 2).astype(np.float32)


def test_no_projection_of_the_same_size_is_nearer() -> None:
    rows = plane_rows()
    baseline = fit_linear_baseline(rows, 2)
    error = np.square(rows - baseline.reconstruct(rows)).mean()
    centered = rows - rows.mean(axis=0)
    left = np.linalg.svd(centered, compute_uv=False)[2:]
    assert error == pytest.approx(np.square(left).sum() / rows.size, rel=1e-3)


@pytest.mark.parametrize("shape", [(10, 40), (40, 10)])
def test_more_components_than_there_are_give_rows_back(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    baseline = fit_linear_baseline(rows, 999)
    assert baseline.reconstruct(rows) == pytest.approx(rows, abs=1e-4)


def test_wide_rows_are_fitted_by_the_randomized_solver() -> None:
    generator = np.random.default_rng(2)
    rows = generator.standard_normal((60, 3)) @ generator.standard_normal((3, 2500))
    baseline = fit_linear_baseline(rows.astype(np.float32), 3)
    assert baseline.components.shape == (3, 2500)
    assert baseline.reconstruct(rows.astype(np.float32)) == pytest.approx(rows, abs=1e-2)


def test_the_same_plane_has_no_angle_to_itself() -> None:
    rows = plane_rows()
    baseline = fit_linear_baseline(rows, 2)
    assert principal_angle_degrees(baseline.reconstruct(rows), baseline) == pytest.approx(
        0, abs=1e-3
    )


@pytest.mark.parametrize("degrees", [0.5, 30.0, 90.0])
def test_a_turned_line_has_the_angle_it_was_turned_by(degrees: float) -> None:
    along = np.linspace(-1, 1, 50)[:, np.newaxis]
    straight = (along * [1, 0]).astype(np.float32)
    direction = [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]
    turned = (along * direction + [5, -3]).astype(np.float32)
    baseline = fit_linear_baseline(straight, 1)
    assert principal_angle_degrees(turned, baseline) == pytest.approx(degrees, abs=1e-3)
