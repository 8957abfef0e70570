"""Panels of codes: maps, distributions of units one by one and in pairs, activations."""

from collections.abc import Iterable

import numpy as np
from scipy.stats import kurtosis, skew
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from service.bundle.manifest import ENCODER
from training.arrays import FloatArray
from training.evaluation.active_units import MIN_DIVERGENCE_NATS, divergence_by_dimension
from training.report.panels.activations import layer_activations
from training.report.panels.panel import Panel, table_element
from training.report.panels.subject import Subject
from training.report.plots.histograms import (
    NARROW_UNITS,
    activation_histograms,
    activity_histogram,
    divergence_bars,
    joint_distributions,
    unit_histograms,
)
from training.report.plots.maps import code_map
from training.seeds import Stream, derived_seed

MAP_POINTS = 2500
NEIGHBOR_MAP_POINTS = 1000  # some seconds of t-SNE
MIN_NEIGHBOR_MAP_POINTS = 50
PERPLEXITY = 30.0
MAX_NEIGHBOR_MAP_UNITS = 50
UNITS_SHOWN = 16
UNITS_JOINED = 5
MIN_UNITS_OF_ACTIVITY = 24


def code_panels(subject: Subject) -> Iterable[Panel]:
    """Show maps of the codes of test rows, and the distributions of their units."""
    yield from _map_panels(subject)
    yield from _unit_panels(subject)
    if subject.variational and subject.codes.shape[1] > 2:
        yield _divergence_panel(subject)
    yield from _activation_panels(subject)


def _map_panels(subject: Subject) -> Iterable[Panel]:
    units = subject.codes.shape[1]
    if units == 1:
        return
    chosen = subject.thinned_test_rows(MAP_POINTS)
    codes = subject.codes[chosen]
    if units == 2:
        yield _map_panel(subject, "Codes by class", "Test rows.", codes, chosen, "code")
        if subject.kind != "tabular":
            note = "The same plane, with test rows drawn where there is room."
            yield _map_panel(
                subject, "Codes with rows", note, codes, chosen, "code", thumbnails=True
            )
        return
    if len(subject.code_shape) == 1:
        yield _map_panel(
            subject, "First two codes", f"Of {units}; test rows.", codes[:, :2], chosen, "code"
        )
    plane = PCA(2, random_state=0)
    points = plane.fit_transform(codes.astype(np.float64))
    share = plane.explained_variance_ratio_.sum()
    note = f"Two dimensions hold {share:.0%} of the variance of {units}; test rows."
    yield _map_panel(
        subject, "Principal components of codes", note, points, chosen, "component", thumbnails=True
    )
    if len(chosen) >= MIN_NEIGHBOR_MAP_POINTS:
        yield _neighbor_map_panel(subject)


def _neighbor_map_panel(subject: Subject) -> Panel:
    """Map codes to the plane so that neighbors remain neighbors.

    Source: van der Maaten and Hinton, Visualizing data using t-SNE, JMLR 2008.
    """
    chosen = subject.thinned_test_rows(NEIGHBOR_MAP_POINTS)
    codes = subject.codes[chosen].astype(np.float64)
    if codes.shape[1] > MAX_NEIGHBOR_MAP_UNITS:
        codes = PCA(MAX_NEIGHBOR_MAP_UNITS, random_state=0).fit_transform(codes)
    layout = TSNE(
        perplexity=min(PERPLEXITY, len(codes) / 4),
        init="pca",
        max_iter=750,
        random_state=derived_seed(subject.model.recipe.seed, Stream.ILLUSTRATION),
    )
    note = f"t-SNE of {len(codes)} test rows: rows that are near here have similar codes."
    # Threads synchronize at every step: on busy cores one thread is many times faster.
    with threadpool_limits(1):
        points = layout.fit_transform(codes)
    return _map_panel(
        subject, "Neighborhoods of codes", note, points, chosen, "t-SNE", thumbnails=True
    )


def _map_panel(
    subject: Subject,
    title: str,
    note: str,
    points: FloatArray,
    chosen: np.ndarray,
    axis_name: str,
    *,
    thumbnails: bool = False,
) -> Panel:
    drawn = thumbnails and subject.kind != "tabular"
    rows = subject.test_rows[chosen] if drawn else None
    picture = code_map(points, subject.test_labels[chosen], subject.classes, axis_name, rows)
    return Panel(title, note, picture)


def _unit_panels(subject: Subject) -> Iterable[Panel]:
    normal = subject.codes[~subject.assessment.results.abnormal]
    units = normal.shape[1]
    spread = np.argsort(normal.std(axis=0), kind="stable")[::-1]
    shown = np.sort(spread[:UNITS_SHOWN])
    which = f"the {len(shown)} of {units} units that vary most" if units > len(shown) else "each"
    curve = "N(0, 1), the prior" if subject.variational else "the normal of the same moments"
    yield Panel(
        "Code histograms",
        f"Values over normal test rows of {which}{'' if units > len(shown) else ' unit'};"
        f" the line is {curve}.",
        unit_histograms(
            {f"unit {unit}": normal[:, unit] for unit in shown},
            standard_normal=subject.variational,
        )
        + _moments_table(normal, shown),
        wide=len(shown) > NARROW_UNITS,
    )
    if units > 1:
        joined = np.sort(spread[:UNITS_JOINED])
        yield Panel(
            "Joint distributions of units",
            "Every pair of the units that vary most, over normal test rows.",
            joint_distributions({f"unit {unit}": normal[:, unit] for unit in joined}),
        )


def _moments_table(codes: FloatArray, units: np.ndarray) -> str:
    chosen = codes[:, units].astype(np.float64)
    varying = chosen.std(axis=0) > 0
    third, fourth = np.zeros(len(units)), np.zeros(len(units))
    third[varying] = skew(chosen[:, varying], axis=0)
    fourth[varying] = kurtosis(chosen[:, varying], axis=0)
    moments = zip(units, chosen.mean(axis=0), chosen.std(axis=0), third, fourth, strict=True)
    table = table_element(
        ["unit", "mean", "standard deviation", "skewness", "excess kurtosis"],
        [(f"{unit}", *map(float, values)) for unit, *values in moments],
    )
    return f"<details><summary>Moments</summary>{table}</details>"


def _divergence_panel(subject: Subject) -> Panel:
    test = subject.model.split.normal_test()
    means, log_variances = subject.exported.run(ENCODER, test.rows, test.conditions)
    divergences = divergence_by_dimension(means, log_variances)
    active = int((divergences > MIN_DIVERGENCE_NATS).sum())
    return Panel(
        "Divergence by unit",
        f"KL divergence of the posterior from N(0, 1), as a mean over normal test rows: {active} of"
        f" {len(divergences)} units are active, with more than {MIN_DIVERGENCE_NATS:g} nats;"
        f" {divergences.sum():.1f} nats in all.",
        divergence_bars(divergences, MIN_DIVERGENCE_NATS),
    )


def _activation_panels(subject: Subject) -> Iterable[Panel]:
    codes = subject.codes[~subject.assessment.results.abnormal]
    if codes.shape[1] >= MIN_UNITS_OF_ACTIVITY:
        zeros = float((codes == 0).mean())
        yield Panel(
            "Activity of the code",
            f"Mean activation of its {codes.shape[1]} units; {zeros:.0%} of all activations are 0.",
            activity_histogram(codes.mean(axis=0)),
        )
    layers = layer_activations(subject)
    if layers:
        yield Panel(
            "Activations by layer",
            "Outputs of the layers for normal test rows; a dead unit is constant.",
            activation_histograms({layer.title: layer.values for layer in layers}),
            wide=True,
        )
