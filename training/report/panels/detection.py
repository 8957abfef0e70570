"""Panels of anomaly detection: scores, false-positive rates, detection of abnormal rows."""

from collections.abc import Iterable

import numpy as np
from scipy.stats import betabinom
from sklearn.metrics import roc_auc_score, roc_curve

from service.inference.scoring import threshold_at
from training.evaluation.metrics import false_positive_rates
from training.export.scorer_registry import scorer_named
from training.report.panels.panel import Panel, readable_name, table_element
from training.report.panels.subject import Subject
from training.report.plots import curves
from training.report.plots.histograms import score_histogram

MAX_CURVE_POINTS = 400
RATES = 40
CHANCE = 0.99


def detection_panels(subject: Subject) -> Iterable[Panel]:
    """Show the distribution of each score, then rates and detection of the default one."""
    for score in subject.model.recipe.anomaly.scores:
        yield _score_panel(subject, score)
    score = subject.model.recipe.anomaly.scores[0]
    yield _rate_panel(subject, score)
    if subject.assessment.results.abnormal.any():
        yield _roc_panel(subject, score)
        yield _threshold_panel(subject, score)


def _score_panel(subject: Subject, score: str) -> Panel:
    results, calibration = subject.assessment.results, subject.assessment.calibration[score]
    groups = {"calibration": calibration, "normal test": results.scores[score][~results.abnormal]}
    if results.abnormal.any():
        groups["abnormal test"] = results.scores[score][results.abnormal]
    rates = false_positive_rates(subject.model.recipe.anomaly.default_false_positive_rate)
    thresholds = {rate: threshold_at(rate, calibration) for rate in rates}
    scorer = scorer_named(score)
    return Panel(
        f"Anomaly score: {readable_name(score)}",
        f"{scorer.description} Dotted: thresholds by false-positive rate.",
        score_histogram(groups, thresholds, scorer.units),
    )


def _roc_panel(subject: Subject, score: str) -> Panel:
    results = subject.assessment.results
    scores, abnormal = results.scores[score], results.abnormal
    false_positives, true_positives, _ = roc_curve(abnormal, scores)
    step = max(1, len(false_positives) // MAX_CURVE_POINTS)
    shown = np.union1d(np.arange(0, len(false_positives), step), [len(false_positives) - 1])
    points: dict[str, tuple[float, float]] = {}
    rates = false_positive_rates(subject.model.recipe.anomaly.default_false_positive_rate)
    for rate in rates:
        threshold = threshold_at(rate, subject.assessment.calibration[score])
        if threshold is not None:
            flagged = scores > threshold
            points[f"{rate:g}"] = float(flagged[~abnormal].mean()), float(flagged[abnormal].mean())
    area = float(roc_auc_score(abnormal, scores))
    return Panel(
        "Receiver operating characteristic",
        f"Over {len(scores)} test rows, {int(abnormal.sum())} of them abnormal: the area under the"
        f" curve is {area:.4f}.",
        curves.roc_curve((false_positives[shown], true_positives[shown]), points),
    )


def _threshold_panel(subject: Subject, score: str) -> Panel:
    results, calibration = subject.assessment.results, subject.assessment.calibration[score]
    scores, abnormal = results.scores[score], results.abnormal
    rates = false_positive_rates(subject.model.recipe.anomaly.default_false_positive_rate)
    rows: list[tuple[float, ...]] = []
    for rate in rates:
        threshold = threshold_at(rate, calibration)
        if threshold is not None:
            flagged = scores > threshold
            precision = float(abnormal[flagged].mean()) if flagged.any() else float("nan")
            found, false = float(flagged[abnormal].mean()), float(flagged[~abnormal].mean())
            rows.append((rate, threshold, false, found, precision))
    return Panel(
        "Thresholds",
        "On test rows, by requested false-positive rate: the share of normal rows that are flagged,"
        " of abnormal rows that are found, and of abnormal rows among the flagged.",
        table_element(["rate", "threshold", "flagged", "found", "precision"], rows),
    )


def _rate_panel(subject: Subject, score: str) -> Panel:
    """Compare requested false-positive rates with measured ones, and with the range of chance.

    The number of exchangeable test rows above the k-th largest of n calibration scores is
    beta-binomial with parameters k and n + 1 - k.

    Source: Bates et al., Testing for outliers with conformal p-values, Annals of Statistics 2023.
    """
    results, calibration = subject.assessment.results, subject.assessment.calibration[score]
    scores = results.scores[score][~results.abnormal]
    count, total = len(calibration), len(scores)
    ranks = np.unique(np.geomspace(1, max(1, count // 2), RATES).astype(int))
    thresholds = np.sort(calibration)[::-1][ranks - 1]
    measured = (scores[np.newaxis] > thresholds[:, np.newaxis]).mean(axis=1)
    tail = (1 - CHANCE) / 2
    bounds = [
        betabinom.ppf(share, total, ranks, count + 1 - ranks) / total for share in (tail, 1 - tail)
    ]
    rates = ranks / (count + 1)
    return Panel(
        "False-positive rates",
        f"Share of {total} normal test rows that are flagged at a requested rate; gray is the 99 %"
        f" range of chance for {count} calibration rows.",
        curves.calibration_curve(rates, (rates, measured), (bounds[0], bounds[1])),
    )
