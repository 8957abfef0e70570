import numpy as np
import pytest

from tests.training.recipes import digits_recipe
from training.networks.building import build_autoencoder
from training.networks.layers import GaussianNoise, MaskingNoise, NearestUpsampling, NormalSampling
from training.seeds import Stream
from training.tensors import to_numpy

ROWS = np.full((200, 8, 8, 1), 0.5, np.float32)


def test_gaussian_noise_has_its_standard_deviation_and_is_clipped() -> None:
    noise = to_numpy(GaussianNoise(2.0, clip=None)(ROWS)) - ROWS
    clipped = to_numpy(GaussianNoise(2.0, clip=(0.0, 1.0))(ROWS))

    assert noise.std() == pytest.approx(2.0, rel=0.03)
    assert noise.mean() == pytest.approx(0.0, abs=0.1)
    assert (clipped.min(), clipped.max()) == (0.0, 1.0)


def test_masking_noise_zeroes_its_fraction_and_leaves_the_rest() -> None:
    masked = to_numpy(MaskingNoise(0.3)(ROWS))

    assert set(np.unique(masked)) == {0.0, 0.5}
    assert (masked == 0).mean() == pytest.approx(0.3, abs=0.02)


def test_codes_are_drawn_from_their_posterior() -> None:
    means = np.full((20_000, 2), [1.0, -3.0], np.float32)
    log_variances = np.full((20_000, 2), np.log([4.0, 0.25]), np.float32)

    codes = to_numpy(NormalSampling()(means, log_variances))

    np.testing.assert_allclose(codes.mean(axis=0), [1.0, -3.0], atol=0.05)
    np.testing.assert_allclose(codes.std(axis=0), [2.0, 0.5], rtol=0.03)


@pytest.mark.parametrize("size", [2, 3])
def test_upsampling_repeats_every_pixel(size: int) -> None:
    images = np.random.default_rng(0).random((2, 4, 5, 3), dtype=np.float32)

    enlarged = to_numpy(NearestUpsampling(size)(images))

    np.testing.assert_array_equal(enlarged, images.repeat(size, axis=1).repeat(size, axis=2))


def test_noise_is_that_of_its_stream_whatever_was_drawn_before() -> None:
    autoencoder = build_autoencoder(digits_recipe(), (8, 8, 1))

    autoencoder.reseed(1, Stream.TRAINING_NOISE, 5)
    first = to_numpy(autoencoder.corrupt(ROWS))
    second = to_numpy(autoencoder.corrupt(ROWS))
    autoencoder.reseed(1, Stream.TRAINING_NOISE, 5)
    again = to_numpy(autoencoder.corrupt(ROWS))
    autoencoder.reseed(1, Stream.TRAINING_NOISE, 6)
    other_epoch = to_numpy(autoencoder.corrupt(ROWS))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other_epoch)


def test_validation_rows_stay_clean_when_the_recipe_says_so() -> None:
    corruption = {"kind": "masking", "rate": 0.5, "in_validation": False}
    autoencoder = build_autoencoder(digits_recipe(corruption=corruption), (8, 8, 1))

    assert autoencoder.corrupt(ROWS, validating=True) is ROWS
    assert autoencoder.corrupt(ROWS, validating=False) is not ROWS
