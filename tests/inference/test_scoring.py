"""Scores become decisions whose error rates are what they state."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import EmptyCalibration
from service.inference.scoring import (
    Scores,
    conformal_p_values,
    discovery_threshold,
    min_discoveries,
    p_value_floor,
    threshold_at,
)

# Few different values, so that ties within and between rows and calibration are common.
values = st.integers(-6, 6).map(lambda number: number / 4)
calibrations = st.lists(values, min_size=1, max_size=60).map(sorted).map(np.array)
score_lists = st.lists(values, min_size=1, max_size=30).map(np.array)
rates = st.floats(0, 1, exclude_min=True, exclude_max=True)


def p_value_by_definition(score: float, calibration: Scores) -> float:
    at_least_as_high = sum(bool(other >= score) for other in calibration)
    return (1 + at_least_as_high) / (len(calibration) + 1)


@given(score_lists, calibrations)
def test_a_p_value_counts_the_calibration_scores_at_least_as_high(
    scores: Scores, calibration: Scores
) -> None:
    expected = [p_value_by_definition(score, calibration) for score in scores]

    assert conformal_p_values(scores, calibration).tolist() == expected


def test_p_values_of_scores_at_between_and_beyond_the_calibration_scores() -> None:
    calibration = np.array([1.0, 2.0, 2.0, 4.0])
    scores = np.array([0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0])

    p_values = conformal_p_values(scores, calibration)

    assert p_values.dtype == np.float64
    assert p_values.tolist() == [1.0, 1.0, 0.8, 0.8, 0.4, 0.4, 0.2]
    assert p_value_floor(calibration) == p_values.min()


@given(score_lists, calibrations, st.data())
def test_a_p_value_is_at_most_the_rate_exactly_when_the_score_is_above_the_threshold(
    scores: Scores, calibration: Scores, data: st.DataObject
) -> None:
    floor = len(calibration) + 1
    multiples = st.integers(1, len(calibration)).map(lambda j: j / floor)
    beside = multiples.map(lambda rate: np.nextafter(rate, 0)) | multiples.map(
        lambda rate: np.nextafter(rate, 1)
    )
    rate = float(data.draw(rates | multiples | beside))
    threshold = threshold_at(rate, calibration)
    flagged = scores > (np.inf if threshold is None else threshold)

    assert flagged.tolist() == (conformal_p_values(scores, calibration) <= rate).tolist()


@given(st.integers(1, 5000), rates)
def test_the_threshold_is_the_kth_largest_score_for_the_largest_k_within_the_rate(
    rows: int, rate: float
) -> None:
    calibration = np.arange(rows, dtype=np.float64)
    k = max(j for j in range(rows + 1) if j / (rows + 1) <= rate)

    assert threshold_at(rate, calibration) == (float(rows - k) if k else None)


def test_a_rate_that_is_an_exact_share_uses_all_of_it_and_one_just_below_does_not() -> None:
    for rows in range(1, 200):
        calibration = np.arange(rows, dtype=np.float64)
        for k in range(1, rows + 1):
            share = k / (rows + 1)
            just_below = float(np.nextafter(share, 0))

            assert threshold_at(share, calibration) == rows - k
            assert threshold_at(just_below, calibration) == (rows - k + 1 if k > 1 else None)


def test_too_few_calibration_rows_give_no_threshold() -> None:
    assert threshold_at(0.05, np.arange(18.0)) is None
    assert threshold_at(0.05, np.arange(19.0)) == 18.0


def test_normal_rows_are_flagged_as_often_as_the_rate_states() -> None:
    generator = np.random.default_rng(20260101)
    rows, repetitions = 99, 20_000
    ranks = generator.standard_normal((repetitions, rows + 1))
    p_values = np.concatenate([conformal_p_values(row[:1], np.sort(row[1:])) for row in ranks])
    for rate in (0.01, 0.05, 0.1, 0.5):
        standard_error = np.sqrt(rate * (1 - rate) / repetitions)
        assert abs((p_values <= rate).mean() - rate) < 4 * standard_error


def test_a_rate_between_two_shares_is_never_exceeded() -> None:
    generator = np.random.default_rng(20260102)
    repetitions = 20_000
    p_values = np.concatenate(
        [
            conformal_p_values(row[:1], np.sort(row[1:]))
            for row in generator.exponential(size=(repetitions, 20))
        ]
    )
    for rate, attained in ((0.04, 0.0), (0.07, 0.05), (0.24, 0.2)):
        share = (p_values <= rate).mean()
        assert share <= rate
        assert abs(share - attained) <= 4 * np.sqrt(attained * (1 - attained) / repetitions)


def rejected_by_benjamini_hochberg(p_values: Scores, rate: float) -> list[bool]:
    """The step-up procedure word by word: the largest i with p_(i) <= rate * i / m."""
    ascending = sorted(p_values)
    largest = 0.0
    for i, p_value in enumerate(ascending, start=1):
        if p_value <= rate * i / len(ascending):
            largest = p_value
    return [bool(p_value <= largest) for p_value in p_values]


@given(score_lists, calibrations, rates)
def test_the_discovery_threshold_flags_exactly_what_benjamini_and_hochberg_reject(
    scores: Scores, calibration: Scores, rate: float
) -> None:
    p_values = conformal_p_values(scores, calibration)
    threshold = discovery_threshold(p_values, rate, calibration)
    flagged = scores > (np.inf if threshold is None else threshold)

    assert flagged.tolist() == rejected_by_benjamini_hochberg(p_values, rate)


def test_benjamini_and_hochberg_reject_beyond_a_p_value_that_fails_on_its_own() -> None:
    calibration = np.arange(1.0, 100.0)
    scores = np.array([97.5, 97.5, 98.5, 50.0])  # p-values 0.03, 0.03, 0.02, 0.51
    p_values = conformal_p_values(scores, calibration)

    # 0.02 > 0.04 / 4 * 1, yet 0.03 <= 0.04 / 4 * 3 rejects all three.
    threshold = discovery_threshold(p_values, 0.04, calibration)
    assert threshold == 97.0
    assert (scores > threshold).tolist() == [True, True, True, False]


def test_no_discovery_gives_no_threshold() -> None:
    calibration = np.arange(1.0, 100.0)

    assert discovery_threshold(np.array([0.5, 0.9]), 0.05, calibration) is None
    assert discovery_threshold(np.empty(0), 0.05, calibration) is None


def test_the_share_of_false_discoveries_stays_below_the_rate() -> None:
    generator = np.random.default_rng(20260103)
    rate, shares, found = 0.2, [], 0
    for _ in range(400):
        calibration = np.sort(generator.standard_normal(500))
        scores = np.concatenate([generator.standard_normal(40), generator.normal(4, 1, 10)])
        threshold = discovery_threshold(conformal_p_values(scores, calibration), rate, calibration)
        flagged = scores > (np.inf if threshold is None else threshold)
        shares.append(flagged[:40].sum() / max(1, flagged.sum()))
        found += flagged[40:].sum()

    # Expected is rate * 40 / 50; the bound is four standard errors wide.
    margin = 4 * np.std(shares) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - 0.16) < margin
    assert found > 0.9 * 400 * 10


@pytest.mark.parametrize(
    "judge",
    [
        lambda nothing: conformal_p_values(np.zeros(1), nothing),
        p_value_floor,
        lambda nothing: threshold_at(0.5, nothing),
        lambda nothing: discovery_threshold(np.ones(1), 0.5, nothing),
    ],
)
def test_nothing_is_judged_without_calibration_scores(
    judge: Callable[[Scores], object],
) -> None:
    with pytest.raises(EmptyCalibration, match="without calibration scores"):
        judge(np.empty(0))


@given(
    rows=st.integers(1, 60),
    calibration_rows=st.integers(1, 200),
    rate=st.floats(0.01, 0.99, exclude_min=True),
)
def test_the_least_discoveries_are_the_fewest_rows_at_the_floor_that_get_flagged(
    rows: int, calibration_rows: int, rate: float
) -> None:
    calibration = np.arange(calibration_rows, dtype=np.float64)
    floor = p_value_floor(calibration)
    flagging = [
        count
        for count in range(1, rows + 1)
        if discovery_threshold(
            np.array([floor] * count + [1.0] * (rows - count)), rate, calibration
        )
        is not None
    ]
    assert min_discoveries(rows, rate, calibration) == min(flagging, default=rows + 1)
