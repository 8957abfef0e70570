"""Priors: drawn codes have the density that the bundle describes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidManifest
from service.inference.sampling import GaussianMixture, StandardNormal
from tests.bundles import mixture_arrays

COUNT = 100_000
# Correlated, and of different shape each: a transposed factor would give other covariances.
MIXTURE = GaussianMixture(
    weights=np.array([0.2, 0.5, 0.3]),
    means=np.array([[-40.0, 0.0], [0.0, 40.0], [40.0, -10.0]]),
    cholesky=np.array(
        [[[1.0, 0.0], [2.0, 0.5]], [[0.3, 0.0], [0.0, 0.3]], [[2.0, 0.0], [-1.0, 1.0]]]
    ),
)
AXES = np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
PROJECTED = replace(MIXTURE, projection_mean=np.array([1.0, 2.0, 3.0]), projection_components=AXES)


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def nearest_component(codes: np.ndarray) -> np.ndarray:
    return np.linalg.norm(codes[:, None] - MIXTURE.means, axis=2).argmin(axis=1)


def test_the_standard_normal_has_mean_zero_and_covariance_one() -> None:
    codes = StandardNormal(3).draw(COUNT, generator())

    assert codes.shape == (COUNT, 3)
    assert codes.dtype == np.float32
    assert np.abs(codes.mean(axis=0)).max() < 5 / np.sqrt(COUNT)
    assert np.abs(np.cov(codes.T) - np.eye(3)).max() < 5 * np.sqrt(2 / COUNT)


def test_temperature_scales_the_standard_normal() -> None:
    once, twice, never = (
        StandardNormal(4).draw(50, generator(), temperature) for temperature in (1.0, 2.0, 0.0)
    )

    assert np.array_equal(twice, 2 * once)
    assert not never.any()


def test_components_are_drawn_as_often_as_their_weights_say() -> None:
    chosen = nearest_component(MIXTURE.draw(COUNT, generator()))
    shares = np.bincount(chosen, minlength=3) / COUNT

    assert np.abs(shares - MIXTURE.weights).max() < 5 * np.sqrt(0.25 / COUNT)


def test_each_component_has_its_mean_and_covariance() -> None:
    codes = MIXTURE.draw(COUNT, generator())
    chosen = nearest_component(codes)
    for component in range(3):
        own = codes[chosen == component]
        factor = MIXTURE.cholesky[component]
        covariance = factor @ factor.T
        deviation = np.sqrt(np.diag(covariance).max())

        assert np.abs(own.mean(axis=0) - MIXTURE.means[component]).max() < 5 * deviation / np.sqrt(
            len(own)
        )
        assert np.abs(np.cov(own.T) - covariance).max() < 8 * deviation**2 / np.sqrt(len(own))


def test_a_temperature_of_zero_gives_the_means() -> None:
    codes = MIXTURE.draw(200, generator(), temperature=0.0)

    assert np.array_equal(codes, MIXTURE.means[nearest_component(codes)].astype(np.float32))
    assert len(np.unique(codes, axis=0)) == 3


def test_temperature_scales_the_deviation_from_the_mean_of_the_same_component() -> None:
    cold, usual, hot = (
        MIXTURE.draw(200, generator(), temperature) for temperature in (0.0, 1.0, 3.0)
    )

    assert np.allclose(hot - cold, 3 * (usual - cold), atol=1e-4)


@pytest.mark.parametrize("prior", [StandardNormal(2), MIXTURE, PROJECTED])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    prior: StandardNormal | GaussianMixture,
) -> None:
    first, again, other = (prior.draw(64, generator(seed)) for seed in (5, 5, 6))

    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_a_projection_takes_the_draw_to_the_space_of_the_codes() -> None:
    codes = PROJECTED.draw(100, generator())

    assert PROJECTED.dimensions == 3
    assert np.allclose(codes, [1, 2, 3] + MIXTURE.draw(100, generator()) @ AXES, atol=1e-4)


class Drawing(np.random.Generator):
    """Draws one value wherever a uniform one is asked for."""

    def __init__(self, value: float) -> None:
        super().__init__(np.random.PCG64(1))
        self.value = value

    def random(self, *args: Any, **options: Any) -> Any:
        return np.full_like(super().random(*args, **options), self.value)


def test_a_component_of_weight_zero_is_never_drawn() -> None:
    mixture = replace(MIXTURE, weights=np.array([0.0, 1.0, 0.0]))

    assert set(nearest_component(mixture.draw(10, Drawing(0.0)))) == {1}
    assert set(nearest_component(mixture.draw(1000, generator()))) == {1}


def test_weights_that_add_up_to_almost_one_leave_no_draw_without_a_component() -> None:
    tenths = GaussianMixture(np.full(10, 0.1), np.arange(10.0)[:, None], np.zeros((10, 1, 1)))
    assert np.cumsum(tenths.weights)[-1] < 1

    assert set(tenths.draw(5, Drawing(np.nextafter(1.0, 0.0))).ravel()) == {9.0}


@pytest.mark.parametrize("mixture", [MIXTURE, PROJECTED])
def test_a_mixture_is_the_same_after_a_trip_through_its_arrays(mixture: GaussianMixture) -> None:
    again = GaussianMixture.from_arrays(mixture.to_arrays())

    assert again.dimensions == mixture.dimensions
    assert again.draw(20, generator()).tobytes() == mixture.draw(20, generator()).tobytes()


@pytest.mark.parametrize("name", ["weights", "means", "cholesky"])
def test_a_missing_array_is_named(name: str) -> None:
    arrays = mixture_arrays(2)
    del arrays[name]

    with pytest.raises(InvalidManifest, match=rf"priors\.npz has no array '{name}'"):
        GaussianMixture.from_arrays(arrays)


UPPER_FACTORS = np.transpose(MIXTURE.cholesky, (0, 2, 1))
WRONG_ARRAYS = {
    "weights that do not add up": {"weights": np.array([0.2, 0.5, 0.2])},
    "a negative weight": {"weights": np.array([-0.2, 0.9, 0.3])},
    "a weight too few": {"weights": np.array([0.5, 0.5])},
    "weights of two axes": {"weights": np.array([[0.2, 0.5, 0.3]])},
    "a weight that is no number": {"weights": np.array([np.nan, 0.5, 0.5])},
    "means of one axis": {"means": np.zeros(3)},
    "no components": {
        "weights": np.empty(0), "means": np.empty((0, 2)), "cholesky": np.empty((0, 2, 2)),
    },
    "factors of another width": {"cholesky": np.zeros((3, 3, 3))},
    "factors of two axes": {"cholesky": np.zeros((3, 2))},
    "upper factors": {"cholesky": UPPER_FACTORS},
    "an infinite mean": {"means": np.array([[np.inf, 0.0], [0.0, 1.0], [1.0, 0.0]])},
    "a factor that is no number": {"cholesky": np.full((3, 2, 2), np.nan)},
    "a projection without its mean": {"projection_components": AXES},
    "a projection without its axes": {"projection_mean": np.zeros(3)},
    "a projection from another width": {
        "projection_mean": np.zeros(3), "projection_components": np.zeros((3, 3)),
    },
    "a projection to another width": {
        "projection_mean": np.zeros(4), "projection_components": AXES,
    },
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG_ARRAYS)
def test_arrays_that_do_not_fit_together_are_refused(fault: str) -> None:
    with pytest.raises(InvalidManifest):
        GaussianMixture.from_arrays({**MIXTURE.to_arrays(), **WRONG_ARRAYS[fault]})
