"""Tail probabilities follow the validation rows, and a power law beyond them."""

import numpy as np

from training.arrays import FloatArray
from training.export.scorers.tail_probabilities import KNOTS, fit_tails, tail_nats
from training.tensors import to_numpy

RANDOM = np.random.default_rng(0)


def nats(fitted: FloatArray, values: FloatArray) -> FloatArray:
    return to_numpy(tail_nats(fit_tails(fitted[:, np.newaxis], [0]), values[:, np.newaxis]))[:, 0]


def test_nats_are_the_logarithm_of_the_share_of_validation_rows_that_are_as_large() -> None:
    fitted = RANDOM.normal(size=3000).astype(np.float32)
    # Inside of what is interpolated: the largest tenth is a power law.
    values = np.quantile(fitted, np.linspace(0.05, 0.9, 50)).astype(np.float32)

    shares = (fitted[np.newaxis] >= values[:, np.newaxis]).mean(axis=1)

    np.testing.assert_allclose(nats(fitted, values), -np.log(shares), atol=0.03)


def test_the_tail_of_a_power_law_has_its_exponent() -> None:
    exponent = 2.5
    fitted = np.log(RANDOM.pareto(exponent, 20_000) + 1).astype(np.float32)

    far = nats(fitted, np.log(np.array([1e3, 1e6], np.float32)))

    np.testing.assert_allclose(np.diff(far) / np.log(1e3), exponent, rtol=0.05)


def test_values_keep_their_order_however_far_they_are() -> None:
    fitted = RANDOM.normal(size=300).astype(np.float32)
    ascending = np.sort(np.append(RANDOM.uniform(-5, 88, 20_000), fitted)).astype(np.float32)

    result = nats(fitted, ascending)

    assert (np.diff(result) >= 0).all()
    beyond = result[ascending > fitted.max()]
    assert len(np.unique(beyond)) > 0.99 * len(beyond)
    assert np.isfinite(result).all()


def test_views_do_not_depend_on_each_other() -> None:
    fitted = RANDOM.normal(size=(500, 4)).astype(np.float32)
    together = to_numpy(tail_nats(fit_tails(fitted, [0, 2, 3]), fitted))

    for view, column in enumerate([0, 2, 3]):
        np.testing.assert_allclose(
            together[:, view], nats(fitted[:, column], fitted[:, column]), atol=1e-5
        )


def test_few_or_equal_validation_rows_give_finite_nats() -> None:
    for fitted in (
        np.zeros(KNOTS * 2, np.float32),
        np.array([1, 1, 2], np.float32),
        np.array([3], np.float32),
    ):
        result = nats(fitted, np.array([-1, 0, 1, 2, 50], np.float32))
        assert np.isfinite(result).all()
        assert (np.diff(result) >= 0).all()
        assert result[-1] > result[0]
