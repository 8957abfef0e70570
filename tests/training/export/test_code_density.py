"""The mixture over codes: as many components as there are clusters, where the codes are."""

import numpy as np
import pytest

from training.export.code_density import MAX_DIMENSIONS, CodeDensity, fit_code_density
from training.recipe.recipe import CodeDensityPart

SIZES = CodeDensityPart(components=(1, 2, 3, 4, 5, 6, 8))
# Unequal weights and correlated clusters, far enough apart that nobody could miscount them.
CENTERS = np.array([[0.0, 0.0], [12.0, 0.0], [0.0, 12.0], [-12.0, -3.0], [3.0, -14.0]])
SHARES = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
SHEAR = np.array([[1.0, 0.0], [0.8, 0.5]])


def clustered(clusters: int, rows: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    shares = SHARES[:clusters] / SHARES[:clusters].sum()
    chosen = random.choice(clusters, rows, p=shares)
    return (CENTERS[chosen] + random.normal(size=(rows, 2)) @ SHEAR.T).astype(np.float32)


def density_of(clusters: int, settings: CodeDensityPart = SIZES) -> CodeDensity:
    return fit_code_density(clustered(clusters, 3000, 1), clustered(clusters, 1500, 2), settings, 0)


@pytest.mark.parametrize("clusters", [1, 2, 3, 4, 5])
def test_there_are_as_many_components_as_clusters(clusters: int) -> None:
    density = density_of(clusters)

    assert density.components == clusters
    assert min(density.criteria, key=density.criteria.__getitem__) == clusters
    assert max(density.criteria) <= SIZES.components[SIZES.components.index(clusters) + 1]


def test_the_components_are_the_clusters() -> None:
    mixture = density_of(5).mixture

    order = [int(np.linalg.norm(mixture.means - center, axis=1).argmin()) for center in CENTERS]
    assert sorted(order) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(mixture.means[order], CENTERS, atol=0.25)
    np.testing.assert_allclose(mixture.weights[order], SHARES, atol=0.03)
    covariances = mixture.cholesky @ mixture.cholesky.transpose(0, 2, 1)
    np.testing.assert_allclose(covariances[order], np.stack([SHEAR @ SHEAR.T] * 5), atol=0.3)


def test_the_criterion_is_that_of_validation_codes() -> None:
    train, validation = clustered(1, 4000, 1), clustered(1, 500, 2)

    density = fit_code_density(train, validation, CodeDensityPart(components=(1,)), 0)

    covariance = np.cov(train.T, bias=True)
    deviations = validation.astype(np.float64) - train.mean(axis=0, dtype=np.float64)
    distances = np.einsum("ij,jk,ik->i", deviations, np.linalg.inv(covariance), deviations)
    _, log_determinant = np.linalg.slogdet(covariance)
    log_likelihood = -0.5 * (distances + log_determinant + 2 * np.log(2 * np.pi)).sum()
    free_parameters = 2 + 3
    expected = free_parameters * np.log(len(validation)) - 2 * log_likelihood
    assert density.criteria[1] == pytest.approx(expected, rel=1e-4)


def test_one_component_is_always_tried_and_a_rise_ends_the_search() -> None:
    density = density_of(1, CodeDensityPart(components=(4, 8, 16)))

    assert list(density.criteria) == [1, 4]
    assert density.components == 1


def test_the_same_seed_fits_the_same_mixture() -> None:
    first, second = density_of(3), density_of(3)

    for name, array in first.mixture.to_arrays().items():
        np.testing.assert_array_equal(array, second.mixture.to_arrays()[name])


def test_only_so_many_training_rows_are_fitted() -> None:
    few = CodeDensityPart(components=(1,), fit_rows=200)

    density = density_of(2, few)

    mean = clustered(2, 3000, 1).mean(axis=0, dtype=np.float64)
    assert 0.01 < np.abs(density.mixture.means[0] - mean).max() < 2.0


def test_up_to_64_dimensions_are_fitted_as_they_are() -> None:
    codes = np.random.default_rng(3).normal(size=(400, MAX_DIMENSIONS)).astype(np.float32)

    density = fit_code_density(codes[:300], codes[300:], CodeDensityPart(components=(1,)), 0)

    assert density.mixture.projection_components is None
    assert density.explained_variance == 1.0


def test_above_64_dimensions_codes_are_drawn_in_their_principal_subspace() -> None:
    random = np.random.default_rng(4)
    axes = np.linalg.qr(random.normal(size=(100, 10)))[0].T
    spread = np.linspace(1, 3, 10)
    codes = (5.0 + (random.normal(size=(3000, 10)) * spread) @ axes).astype(np.float32)
    # Spatial codes: the shape of one is no concern of a density.
    spatial = codes.reshape(-1, 5, 5, 4)

    density = fit_code_density(spatial[:2000], spatial[2000:], CodeDensityPart(components=(1,)), 0)

    assert density.mixture.projection_components is not None
    assert density.mixture.projection_components.shape == (MAX_DIMENSIONS, 100)
    assert density.explained_variance == pytest.approx(1.0, abs=1e-6)
    draws = density.mixture.draw(20_000, np.random.default_rng(5))
    assert draws.shape == (20_000, 100)
    centered = draws - codes.mean(axis=0)
    outside = centered - centered @ axes.T @ axes
    assert np.abs(outside).max() < 0.02
    np.testing.assert_allclose((centered @ axes.T).std(axis=0), spread, rtol=0.06)


def test_constant_units_do_not_change_the_components() -> None:
    codes = clustered(3, 3000, 1)
    dead = np.concatenate([codes, np.zeros_like(codes)], axis=1)

    density = fit_code_density(dead[:2000], dead[2000:], SIZES, 0)

    assert density.components == 3
    draws = density.mixture.draw(1000, np.random.default_rng(6))
    assert np.abs(draws[:, 2:]).max() < 0.1
