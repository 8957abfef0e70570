"""Rows made from normal ones are what their names say."""

import numpy as np
import pytest

from benchmarks.unusual_rows import far_along_codes, unusual_rows
from service.arrays import FloatArray

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((20, 8, 8, 1), np.float32)
SERIES = RANDOM.normal(3, 2, (50, 12, 2)).astype(np.float32)


def made(rows: FloatArray, kind: str) -> dict[str, FloatArray]:
    return dict(unusual_rows(rows, kind, 0))


@pytest.mark.parametrize("side", [1, 2])
def test_one_square_of_an_image_is_black_or_white_and_the_rest_is_as_it_was(side: int) -> None:
    name = "one pixel inverted" if side == 1 else "one square inverted"

    changed = made(IMAGES, "image")[name]

    different = changed != IMAGES
    assert (different.sum(axis=(1, 2, 3)) == side**2).all()
    assert set(np.unique(changed[different])) <= {0.0, 1.0}
    assert (np.abs(changed - IMAGES)[different] >= 0.5).all()


def test_one_step_of_a_series_is_off_by_so_many_deviations_of_its_channel() -> None:
    changed = made(SERIES, "series")["one step plus 3 deviations"]

    difference = changed - SERIES
    assert (np.count_nonzero(difference, axis=(1, 2)) == 1).all()
    _, _, channels = np.nonzero(difference)
    expected = 3 * SERIES.std(axis=(0, 1))[channels]
    np.testing.assert_allclose(difference[difference != 0], expected, rtol=1e-4)


def test_all_rows_are_float32_of_the_same_shape() -> None:
    table = SERIES[:, 0]
    for rows, kind in ((IMAGES, "image"), (SERIES, "series"), (table, "tabular")):
        for name, changed in made(rows, kind).items():
            assert changed.dtype == np.float32, name
            assert changed.shape[1:] == rows.shape[1:], name


def test_far_codes_are_ten_times_as_far_from_their_mean() -> None:
    codes = RANDOM.normal(size=(30, 4)).astype(np.float32)

    far = far_along_codes(codes, lambda moved: moved)

    np.testing.assert_allclose(far.mean(axis=0), codes.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(far.std(axis=0), 10 * codes.std(axis=0), rtol=1e-4)
