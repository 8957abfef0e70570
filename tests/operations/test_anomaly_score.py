"""Rows are decided at the rate, by the score and against the calibration that a request names."""

from pathlib import Path

import numpy as np
import pytest

from service.errors import (
    EmptyCalibration,
    InvalidInput,
)
from service.inference.autoencoder import Autoencoder
from service.operations.anomaly_score import thresholds_by_rate
from tests.bundles import (
    PLANE,
    SCORE,
    archive,
    golden_arrays,
    publish_tiny,
    tiny_manifest,
)
from tests.operations.opened import decide, open_autoencoder

PLANE_GOLDEN = golden_arrays(PLANE)


def test_the_default_rate_is_the_one_of_the_manifest(tmp_path: Path) -> None:
    anomaly = tiny_manifest(PLANE).anomaly
    assert anomaly is not None
    lenient = anomaly.model_copy(update={"default_false_positive_rate": 0.25})
    autoencoder = open_autoencoder(publish_tiny(tmp_path, PLANE, anomaly=lenient))

    assert decide(autoencoder, PLANE.rows(1)).threshold == PLANE.calibration[-25]
    stricter = decide(autoencoder, PLANE.rows(1), false_positive_rate=0.05)
    assert stricter.threshold == PLANE.calibration[-5]


def test_a_score_at_the_threshold_is_not_an_anomaly_and_one_above_it_is(tmp_path: Path) -> None:
    rows = PLANE.rows(3)
    (middle,) = decide(open_autoencoder(publish_tiny(tmp_path, PLANE)), rows[1:2]).scores
    calibration = np.sort(np.append(PLANE.calibration[:98], np.float64(middle)))
    autoencoder = open_autoencoder(
        publish_tiny(tmp_path, PLANE, {"calibration.npz": archive({SCORE: calibration})})
    )
    k = 99 - int(np.searchsorted(calibration, middle))
    at, above = (
        decide(autoencoder, rows[1:2], false_positive_rate=rate / 100) for rate in (k, k + 1)
    )

    assert at.threshold == middle
    assert at.anomalies.tolist() == [False]
    assert above.anomalies.tolist() == [True]
    assert above.p_values.tolist() == [(k + 1) / 100]


def test_discoveries_are_those_of_benjamini_and_hochberg(plane: Autoencoder) -> None:
    rows = np.concatenate([PLANE.rows(8, seed=1), 20 * PLANE.rows(4, seed=2)])
    decision = decide(plane, rows, false_discovery_rate=0.1)
    order = np.argsort(decision.p_values)
    passed = [i for i in range(1, 13) if decision.p_values[order[i - 1]] <= 0.1 * i / 12]
    largest = decision.p_values[order[max(passed) - 1]]

    assert decision.anomalies.tolist() == (decision.p_values <= largest).tolist()
    assert decision.anomalies[8:].all()
    assert 4 <= decision.anomalies.sum() < 12
    assert decision.threshold == PLANE.calibration[-int(np.round(largest * 100))]
    assert decision.warnings == ()


def test_a_discovery_rate_takes_the_place_of_the_false_positive_rate(plane: Autoencoder) -> None:
    rows = PLANE.rows(12)
    both = decide(plane, rows, false_positive_rate=0.9, false_discovery_rate=0.02)

    assert (
        both.anomalies.tolist() == decide(plane, rows, false_discovery_rate=0.02).anomalies.tolist()
    )
    assert decide(plane, rows, false_positive_rate=0.9).anomalies.sum() > both.anomalies.sum()


@pytest.mark.parametrize("kind", ["false_positive_rate", "false_discovery_rate"])
def test_too_few_calibration_rows_flag_nothing_and_say_so(kind: str, plane: Autoencoder) -> None:
    rows = 1000 * PLANE.rows(3)
    decision = decide(plane, rows, None, **{kind: 0.009})
    name = kind.replace("_", "-").replace("-rate", " rate")

    assert decision.p_values.tolist() == [0.01] * 3
    assert decision.threshold is None
    assert not decision.anomalies.any()
    assert decision.warnings == (
        f"99 calibration rows are too few for a {name} this small: no row can be flagged",
    )
    enough = decide(plane, rows, None, **{kind: 0.01})
    assert enough.anomalies.all()
    assert enough.warnings == ()


def test_one_anomaly_out_of_reach_among_many_rows_is_a_warning(plane: Autoencoder) -> None:
    calibration = PLANE.calibration
    usual = PLANE.rows(99, seed=7)[np.argsort(PLANE.score(PLANE.rows(99, seed=7)))][:49]
    rows = np.concatenate([usual, 1000 * PLANE.rows(1)])
    decision = decide(plane, rows, false_discovery_rate=0.05)

    assert decision.p_values[-1] == 1 / (len(calibration) + 1)
    assert not decision.anomalies.any()
    (warning,) = decision.warnings
    assert warning.endswith("false-discovery rate this small to flag fewer than 10 of the 50 rows")


@pytest.mark.parametrize("kind", ["false_positive_rate", "false_discovery_rate"])
@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0, float("nan"), float("inf")])
def test_a_rate_outside_of_0_and_1_is_refused(kind: str, rate: float, plane: Autoencoder) -> None:
    with pytest.raises(InvalidInput, match=f"^{kind} is not between 0 and 1") as caught:
        decide(plane, PLANE.rows(1), None, **{kind: rate})
    assert [error.pointer for error in caught.value.field_errors] == [f"/{kind}"]


def two_scores(tmp_path: Path) -> Autoencoder:
    """A bundle whose second score is the first one, judged against twice its calibration."""
    manifest = tiny_manifest(PLANE)
    assert manifest.anomaly is not None
    spec = manifest.anomaly.scores[SCORE]
    scores = {SCORE: spec, "strict": spec.model_copy(update={"graph": "scorer-strict"})}
    graphs = {**manifest.graphs, "scorer-strict": manifest.graphs[f"scorer-{SCORE}"]}
    golden = {
        f"scorer-strict/{tensor}": PLANE_GOLDEN[f"scorer-{SCORE}/{tensor}"]
        for tensor in ("inputs", "scores", "feature_scores")
    }
    calibration = {SCORE: PLANE.calibration, "strict": 2 * PLANE.calibration}
    location = publish_tiny(
        tmp_path,
        PLANE,
        {"calibration.npz": archive(calibration), "golden.npz": archive(PLANE_GOLDEN | golden)},
        anomaly=manifest.anomaly.model_copy(update={"scores": scores}),
        graphs=graphs,
    )
    return open_autoencoder(location)


def test_scores_are_chosen_by_name_each_with_its_own_calibration(tmp_path: Path) -> None:
    autoencoder = two_scores(tmp_path)
    usual, strict = (
        decide(autoencoder, PLANE.rows(5)),
        decide(autoencoder, PLANE.rows(5), score="strict"),
    )

    assert (usual.score, strict.score) == (SCORE, "strict")
    assert np.array_equal(usual.scores, strict.scores)
    assert usual.threshold == PLANE.calibration[-1]
    assert strict.threshold == 2 * PLANE.calibration[-1]
    assert (strict.p_values >= usual.p_values).all()
    assert thresholds_by_rate(autoencoder, (0.01, 0.5, 0.001)) == {
        name: {
            "0.01": factor * PLANE.calibration[-1],
            "0.5": factor * PLANE.calibration[-50],
            "0.001": None,
        }
        for name, factor in ((SCORE, 1), ("strict", 2))
    }


def test_an_unknown_score_is_refused_with_the_names_of_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"model plane has the scores {SCORE}, strict") as caught:
        decide(two_scores(tmp_path), PLANE.rows(1), score="likelihood")
    assert [error.pointer for error in caught.value.field_errors] == ["/score"]


def without_calibration(tmp_path: Path) -> Autoencoder:
    anomaly = tiny_manifest(PLANE).anomaly
    assert anomaly is not None
    spec = anomaly.scores[SCORE].model_copy(update={"calibration_rows": 0})
    scores = anomaly.model_copy(update={"scores": {SCORE: spec}})
    empty = archive({SCORE: np.empty(0)})
    return open_autoencoder(
        publish_tiny(tmp_path, PLANE, {"calibration.npz": empty}, anomaly=scores)
    )


def test_without_calibration_rows_nothing_is_decided_or_tabulated(tmp_path: Path) -> None:
    autoencoder = without_calibration(tmp_path)

    assert thresholds_by_rate(autoencoder, (0.01,)) == {}
    with pytest.raises(EmptyCalibration):
        decide(autoencoder, PLANE.rows(1))


def test_equal_calibration_scores_are_ascending(tmp_path: Path) -> None:
    tied = archive({SCORE: np.full(99, 0.5)})
    autoencoder = open_autoencoder(publish_tiny(tmp_path, PLANE, {"calibration.npz": tied}))

    assert decide(autoencoder, PLANE.rows(1), false_positive_rate=0.5).threshold == 0.5
