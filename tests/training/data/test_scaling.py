import numpy as np
import pytest

from training.data.scaling import fit_scaling
from training.tensors import to_numpy

# Two channels, (rows, steps, channels).
SERIES = np.random.default_rng(0).normal([3.0, -50.0], [0.5, 20.0], (40, 7, 2)).astype(np.float32)


def test_standardized_channels_have_zero_mean_and_unit_variance() -> None:
    scaled = to_numpy(fit_scaling("standardize", SERIES).scale(SERIES))

    np.testing.assert_allclose(scaled.mean(axis=(0, 1)), [0, 0], atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 1)), [1, 1], atol=1e-5)


def test_the_unit_range_runs_from_least_to_greatest_value() -> None:
    scaled = to_numpy(fit_scaling("unit-range", SERIES).scale(SERIES))

    np.testing.assert_allclose(scaled.min(axis=(0, 1)), [0, 0], atol=1e-6)
    np.testing.assert_allclose(scaled.max(axis=(0, 1)), [1, 1], atol=1e-6)


@pytest.mark.parametrize("kind", ["none", "standardize", "unit-range"])
def test_unscaling_gives_back_raw_units(kind: str) -> None:
    scaling = fit_scaling(kind, SERIES)  # pyright: ignore[reportArgumentType]  # the three there are

    there_and_back = to_numpy(scaling.unscale(scaling.scale(SERIES)))

    np.testing.assert_allclose(there_and_back, SERIES, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["standardize", "unit-range"])
def test_a_constant_column_is_only_centered(kind: str) -> None:
    rows = np.array([[1.0, 5.0], [2.0, 5.0]], np.float32)

    scaling = fit_scaling(kind, rows)  # pyright: ignore[reportArgumentType]  # two of the three

    np.testing.assert_array_equal(to_numpy(scaling.scale(rows))[:, 1], [0, 0])
    np.testing.assert_array_equal(to_numpy(scaling.unscale(scaling.scale(rows))), rows)


def test_without_scaling_rows_pass_untouched() -> None:
    scaling = fit_scaling("none", SERIES)

    assert scaling.is_identity
    assert scaling.scale(SERIES) is SERIES
