"""Distributions of anomaly scores, of units of a code and pairs of them, of activations."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.arrays import FloatArray, Scores
from training.report.plots.style import (
    BLUE,
    FULL_WIDTH,
    GREEN,
    HALF_WIDTH,
    INK,
    ORANGE,
    RED,
    density_colors,
    new_axes,
    new_panels,
    styled,
    to_svg,
)

NARROW_UNITS = 2  # histograms that fit in half the page
_SCORE_BINS = 60
_BINS = 40
_OUTLINE = "stepfilled"  # one shape instead of a bar per bin
_CELLS = 40
_SHOWN_QUANTILES = (0.001, 0.999)


def score_histogram(
    groups: Mapping[str, Scores], thresholds: Mapping[float, float | None], units: str
) -> str:
    """Draw the distribution of the scores of several groups of rows, on a logarithmic axis.

    Args:
        groups: Scores by name of the group, each (rows,).
        thresholds: By false-positive rate, the score above which a row is an anomaly.
        units: Of the scores.

    Returns:
        An ``<svg>`` element.
    """
    everything = np.concatenate(list(groups.values()))
    positive = everything[everything > 0]
    scale = "log" if len(positive) == len(everything) else "linear"
    bins = _score_bins(everything, scale)
    with styled():
        figure, axes = new_axes(HALF_WIDTH, 3.0)
        for (name, scores), color in zip(groups.items(), (BLUE, GREEN, RED), strict=False):
            _share_histogram(axes, scores, bins, color, name)
        heights = np.linspace(0.98, 0.8, len(thresholds))
        for (rate, threshold), height in zip(thresholds.items(), heights, strict=True):
            if threshold is not None:
                axes.axvline(threshold, color=INK, linewidth=0.8, linestyle=":")
                axes.annotate(
                    f"{rate:g}",
                    (threshold, height),
                    xytext=(3, 0),
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    verticalalignment="top",
                )
        axes.set(xscale=scale, xlabel=f"score ({units})", ylabel="share of rows")
        figure.legend(loc="outside upper right", ncols=len(groups))
        return to_svg(figure, "anomaly scores")


def unit_histograms(columns: Mapping[str, FloatArray], *, standard_normal: bool) -> str:
    """Draw the distribution of each unit of a code.

    Args:
        columns: Values of each unit by its name, (rows,).
        standard_normal: Draw N(0, 1) over each; otherwise the normal of the unit's own moments.

    Returns:
        An ``<svg>`` element.
    """
    narrow = len(columns) <= NARROW_UNITS
    across = len(columns) if narrow else min(max(len(columns), 4), 8)
    width, height = (HALF_WIDTH, 2.7) if narrow else (FULL_WIDTH, 1.5)
    with styled():
        figure, panels = new_panels(len(columns), across, width, height)
        for panel, (name, values) in zip(panels, columns.items(), strict=True):
            low, high = _shown_range(values)
            bins = list(np.linspace(low, high, _BINS))
            panel.hist(values, bins, density=True, color=BLUE, histtype=_OUTLINE)
            mean, deviation = float(values.mean()), float(values.std())
            if standard_normal or deviation > 0:
                normal = NormalDist() if standard_normal else NormalDist(mean, deviation)
                points = np.linspace(low, high, 80)
                panel.plot(points, [normal.pdf(point) for point in points], color=INK, linewidth=1)
            panel.set_title(name)
            panel.set_yticks([])
            panel.xaxis.set_major_locator(MaxNLocator(3))
            panel.spines["left"].set_visible(False)
            panel.grid(visible=False)
        return to_svg(figure, "distribution of each unit of the code")


def joint_distributions(columns: Mapping[str, FloatArray]) -> str:
    """Draw the joint distribution of each pair of units, and of each unit on the diagonal.

    Args:
        columns: Values of each unit by its name, (rows,); at most six.

    Returns:
        An ``<svg>`` element.
    """
    names, count = list(columns), len(columns)
    edges = {name: list(np.linspace(*_shown_range(columns[name]), _CELLS + 1)) for name in names}
    with styled():
        figure = Figure(figsize=(HALF_WIDTH, HALF_WIDTH * 0.96), layout="constrained")
        grid = figure.subplots(count, count, squeeze=False)
        for down, vertical in enumerate(names):
            for across, horizontal in enumerate(names):
                axes: Axes = grid[down, across]
                axes.grid(visible=False)
                if across > down:
                    axes.set_axis_off()
                    continue
                if across == down:
                    axes.hist(columns[vertical], edges[vertical], color=BLUE, histtype=_OUTLINE)
                else:
                    _joint_histogram(
                        axes,
                        columns[horizontal],
                        columns[vertical],
                        (edges[horizontal], edges[vertical]),
                    )
                _label_outside(axes, horizontal if down == count - 1 else None, axis="x")
                _label_outside(axes, vertical if across == 0 and down else None, axis="y")
        return to_svg(figure, "joint distributions of the units of the code")


def activation_histograms(layers: Mapping[str, FloatArray]) -> str:
    """Draw the distribution of a network's activations, layer by layer.

    Args:
        layers: Activations by name of the layer, each (values,).

    Returns:
        An ``<svg>`` element; shares are on a logarithmic axis, since many values may be 0.
    """
    with styled():
        figure, panels = new_panels(len(layers), min(max(len(layers), 2), 5), FULL_WIDTH, 1.7)
        for panel, (name, values) in zip(panels, layers.items(), strict=True):
            bins = list(np.linspace(*_shown_range(values), _BINS))
            weights = np.full(len(values), 1 / len(values))
            panel.hist(values, bins, weights=weights, color=BLUE, histtype=_OUTLINE)
            panel.set(yscale="log", title=name)
            panel.minorticks_off()
            panel.xaxis.set_major_locator(MaxNLocator(4))
        return to_svg(figure, "activations by layer")


def activity_histogram(mean_activations: FloatArray) -> str:
    """Draw the distribution of the mean activations of the units of a code.

    Args:
        mean_activations: Of each unit over rows, (units,).

    Returns:
        An ``<svg>`` element.
    """
    with styled():
        figure, axes = new_axes(HALF_WIDTH, 2.7)
        axes.hist(mean_activations, bins=min(_BINS, max(8, len(mean_activations) // 4)), color=BLUE)
        overall = float(mean_activations.mean())
        axes.axvline(overall, color=INK, linewidth=0.8, linestyle=":")
        axes.annotate(
            f"mean {overall:.3g}",
            (overall, 0.96),
            xytext=(4, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            verticalalignment="top",
        )
        axes.set(xlabel="mean activation of a unit", ylabel="units")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        return to_svg(figure, "mean activation of the units of the code")


def divergence_bars(divergences: NDArray[np.floating], inactive_below: float) -> str:
    """Draw the divergence of each unit of a variational code from its prior, largest first.

    Args:
        divergences: Mean over rows in nats, (units,).
        inactive_below: Divergence below which a unit is not active.

    Returns:
        An ``<svg>`` element.
    """
    order = np.argsort(divergences)[::-1]
    heights = divergences[order]
    colors = [BLUE if height > inactive_below else RED for height in heights]
    with styled():
        figure, axes = new_axes(HALF_WIDTH, 2.7)
        axes.bar(np.arange(len(order)), heights, color=colors, width=0.8)
        axes.axhline(inactive_below, color=ORANGE, linewidth=0.8, linestyle=":")
        if len(order) <= 24:
            axes.set_xticks(np.arange(len(order)), [str(unit) for unit in order])
        axes.set(xlabel="unit", ylabel="divergence (nats)")
        axes.grid(visible=False, axis="x")
        return to_svg(figure, "divergence by unit")


def _score_bins(scores: Scores, scale: str) -> list[float]:
    low, high = float(scores.min()), float(scores.max())
    if scale == "log":
        return list(np.geomspace(low * 0.999, high * 1.001, _SCORE_BINS + 1))
    margin = 0.001 * (high - low) + 1e-12
    return list(np.linspace(low - margin, high + margin, _SCORE_BINS + 1))


def _share_histogram(
    axes: Axes, values: Scores, bins: Sequence[float], color: str, name: str
) -> None:
    weights = np.full(len(values), 1 / len(values))
    axes.hist(values, bins, weights=weights, color=color, alpha=0.22, histtype="stepfilled")
    axes.hist(values, bins, weights=weights, color=color, histtype="step", label=name)


def _shown_range(values: FloatArray) -> tuple[float, float]:
    low, high = (float(value) for value in np.quantile(values, _SHOWN_QUANTILES))
    margin = 0.05 * (high - low) + 1e-6 * max(1.0, abs(high))
    return low - margin, high + margin


def _joint_histogram(
    axes: Axes,
    across: FloatArray,
    up: FloatArray,
    edges: tuple[Sequence[float], Sequence[float]],
) -> None:
    counts, *_ = np.histogram2d(across, up, bins=edges)
    levels: NDArray[np.float64] = np.sqrt(counts.T)  # so that single rows are visible beside many
    axes.pcolormesh(*edges, levels, cmap=density_colors(), rasterized=True)


def _label_outside(axes: Axes, label: str | None, axis: str) -> None:
    ticks = axes.xaxis if axis == "x" else axes.yaxis
    ticks.set_major_locator(MaxNLocator(2))
    if label is None:
        ticks.set_ticks([])
    else:
        ticks.set_label_text(label)
