"""The distance of a code is the density that scipy computes of the mixture."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from service.inference.sampling import GaussianMixture
from training.export.code_density import fit_code_density
from training.export.scorers.code_distance import code_distances, fit_code_distance
from training.recipe.recipe import CodeDensityPart
from training.tensors import to_numpy

RANDOM = np.random.default_rng(1)
WEIGHTS = np.array([0.7, 0.3])
MEANS = np.array([[0.0, 1.0, -2.0], [8.0, -9.0, 7.0]])
FACTORS = np.array(
    [
        [[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [-0.3, 0.1, 0.7]],
        [[0.4, 0.0, 0.0], [0.2, 0.3, 0.0], [0.0, 0.6, 1.5]],
    ]
)
MIXTURE = GaussianMixture(WEIGHTS, MEANS, FACTORS)


def distances(mixture: GaussianMixture, validation: np.ndarray, codes: np.ndarray) -> np.ndarray:
    constants = fit_code_distance(mixture, validation.astype(np.float32))
    return to_numpy(code_distances(constants, codes.astype(np.float32)))


def test_distances_differ_by_as_much_as_log_densities_of_the_nearest_component() -> None:
    codes = MIXTURE.draw(300, RANDOM)
    densities = [
        np.log(weight) + multivariate_normal(mean, factor @ factor.T).logpdf(codes)
        for weight, mean, factor in zip(WEIGHTS, MEANS, FACTORS, strict=True)
    ]
    expected = -np.max(densities, axis=0)

    found = distances(MIXTURE, codes, codes)

    assert found.min() >= 0
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=5e-3, rtol=5e-3)


def test_codes_with_positions_are_taken_flat() -> None:
    codes = MIXTURE.draw(20, RANDOM)

    spatial = distances(MIXTURE, codes, codes.reshape(20, 1, 1, 3))

    np.testing.assert_array_equal(spatial, distances(MIXTURE, codes, codes))


@pytest.mark.parametrize("components", [1, 3])
def test_beyond_64_dimensions_the_rest_of_a_code_counts_too(components: int) -> None:
    axes = np.linalg.qr(RANDOM.normal(size=(100, 100)))[0]
    deviations = np.linspace(3, 0.05, 100)
    codes = (2 + (RANDOM.normal(size=(4000, 100)) * deviations) @ axes).astype(np.float32)
    settings = CodeDensityPart(components=(components,))
    mixture = fit_code_density(codes[:3000], codes[3000:], settings, 0).mixture
    outside = codes[3000:3001] + 20 * axes[-1].astype(np.float32)

    validation = distances(mixture, codes[3000:], codes[3000:])
    far = distances(mixture, codes[3000:], outside)

    assert mixture.projection_components is not None
    # Half a squared distance in 100 dimensions, plus the volumes of what is not the smallest.
    assert 35 < validation.mean() < 75
    assert far[0] > 5 * validation.max()


def test_distances_stay_finite_and_in_order_far_out() -> None:
    directions = RANDOM.normal(size=(5, 3))
    for direction in directions:
        codes = direction * np.logspace(2, 14, 60)[:, np.newaxis]
        found = distances(MIXTURE, MIXTURE.draw(100, RANDOM), codes)
        assert np.isfinite(found).all()
        assert (np.diff(found) > 0).all()
    assert np.isfinite(distances(MIXTURE, directions, np.full((1, 3), 1e30))).all()


def test_a_unit_that_never_varies_is_not_divided_by_zero() -> None:
    codes = RANDOM.normal(size=(1000, 4)).astype(np.float32)
    codes[:, 2] = 0.5
    mixture = fit_code_density(
        codes[:800], codes[800:], CodeDensityPart(components=(1,)), 0
    ).mixture

    found = distances(mixture, codes[800:], codes)

    assert np.isfinite(found).all()
    # Three dimensions that vary: half of a chi-squared of 3.
    np.testing.assert_allclose(found.mean(), 1.5, rtol=0.15)
