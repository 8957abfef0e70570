"""The pictures of a report: SVG that takes the page's colours, and PNG mosaics of images."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from service.inference.scoring import Scores
from service.inference.session import FloatArray
from training.datasets import IntegerArray
from training.history import EpochRecord

# Written by matplotlib, then replaced by what the page's style sheet says, light or dark.
_INK, _LINE = "#010203", "#040506"
_PAGE_COLOURS = {_INK: "currentColor", _LINE: "var(--line)"}
BLUE, ORANGE, RED = "#3b82c4", "#d97a1e", "#c9364f"
CLASS_COLOURS = (
    *("#3b82c4", "#d97a1e", "#2f9e6b", "#c9364f", "#8a63c9"),
    *("#9a6b4b", "#d46aa8", "#7d8791", "#a8a420", "#22a3b5"),
)
LOGARITHMIC_FROM_RATIO = 5.0
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
    **dict.fromkeys(("axes.edgecolor", "grid.color"), _LINE),
}


def loss_curves(history: Sequence[EpochRecord], best_epoch: int) -> str:
    """Draw the objective by epoch, and mark the epoch whose weights were kept.

    Args:
        history: All epochs.
        best_epoch: From 1.

    Returns:
        An ``<svg>`` element.
    """
    epochs = [record.epoch for record in history]
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(6.4, 3.0)
        axes.plot(epochs, [r.training_loss for r in history], color=BLUE, label="training")
        axes.plot(epochs, [r.validation_loss for r in history], color=ORANGE, label="validation")
        axes.axvline(best_epoch, color=_INK, linewidth=0.8, linestyle=":")
        axes.annotate(
            f" best: epoch {best_epoch}",
            (best_epoch, 0.9),
            xycoords=("data", "axes fraction"),
            horizontalalignment="right" if best_epoch > len(epochs) / 2 else "left",
        )
        axes.set(xlabel="epoch", ylabel="objective")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        losses = [loss for r in history for loss in (r.training_loss, r.validation_loss)]
        if min(losses) > 0 and max(losses) > LOGARITHMIC_FROM_RATIO * min(losses):
            axes.set_yscale("log")
        figure.legend(loc="outside upper right", ncols=2)
        return _svg(figure, "loss")


def score_histogram(
    groups: Mapping[str, Scores], thresholds: Mapping[float, float | None], units: str
) -> str:
    """Draw how the scores of several groups of rows are distributed, on a logarithmic axis.

    Args:
        groups: Scores by name of the group, each (rows,).
        thresholds: Score above which a row is an anomaly, by false-positive rate.
        units: Of the scores.

    Returns:
        An ``<svg>`` element.
    """
    everything = np.concatenate(list(groups.values()))
    positive = everything[everything > 0]
    low, high = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
    bins = list(np.geomspace(low * 0.999, high * 1.001, 61))
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(6.4, 3.0)
        for (name, scores), colour in zip(groups.items(), (BLUE, "#2f9e6b", RED), strict=False):
            weights = np.full(len(scores), 1 / len(scores))
            axes.hist(
                scores, bins, weights=weights, color=colour, alpha=0.25, histtype="stepfilled"
            )
            axes.hist(scores, bins, weights=weights, color=colour, histtype="step", label=name)
        heights = np.linspace(0.98, 0.74, len(thresholds))
        for (rate, threshold), height in zip(thresholds.items(), heights, strict=True):
            if threshold is not None:
                axes.axvline(threshold, color=_INK, linewidth=0.8, linestyle=":")
                axes.annotate(
                    f" at {rate:g}",
                    (threshold, height),
                    xycoords=("data", "axes fraction"),
                    verticalalignment="top",
                )
        axes.set(xscale="log", xlabel=f"score ({units})", ylabel="share of rows")
        figure.legend(loc="outside upper right", ncols=len(groups))
        return _svg(figure, "scores")


def code_map(points: FloatArray, labels: IntegerArray, classes: Sequence[str], axis: str) -> str:
    """Draw codes in the plane, coloured by class.

    Args:
        points: Shape (rows, 2).
        labels: Class of each point, (rows,).
        classes: Names of the classes.
        axis: What the axes are.

    Returns:
        An ``<svg>`` element; the points in it are a bitmap.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(6.4, 5.0)
        size = 18 if len(points) < 1000 else 5
        for label, name in enumerate(classes):
            chosen = labels == label
            colour = CLASS_COLOURS[label % len(CLASS_COLOURS)]
            axes.scatter(
                *points[chosen].T, s=size, alpha=0.6, color=colour, linewidths=0, rasterized=True
            )
            axes.scatter([], [], s=28, color=colour, label=name)
        low, high = np.percentile(points, [0.2, 99.8], axis=0)
        margin = 0.06 * (high - low) + 1e-6
        axes.set(
            xlim=(low[0] - margin[0], high[0] + margin[0]),
            ylim=(low[1] - margin[1], high[1] + margin[1]),
            xlabel=f"{axis} 1",
            ylabel=f"{axis} 2",
        )
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return _svg(figure, "codes")


def series_panels(columns: Sequence[tuple[str, Mapping[str, FloatArray]]]) -> str:
    """Draw series in small panels, several lines in each.

    Args:
        columns: Title of each panel, and its lines by name, each (steps, channels).

    Returns:
        An ``<svg>`` element.
    """
    across = 4
    down = -(-len(columns) // across)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 1.8 * down), layout="constrained")
        panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
        for panel in panels[len(columns) :]:
            panel.set_axis_off()
        for panel, (title, lines) in zip(panels, columns, strict=False):
            for (name, values), colour in zip(lines.items(), (BLUE, ORANGE, RED), strict=False):
                panel.plot(values, color=colour, linewidth=1.2, label=name)
            panel.set_title(title, fontsize=9)
        handles, names = panels[0].get_legend_handles_labels()
        if len(names) > 1:
            figure.legend(handles, names, loc="outside upper center", ncols=len(names))
        return _svg(figure, f"series-{columns[0][0]}")


def image_mosaic(grid: Sequence[FloatArray]) -> str:
    """Put images side by side in rows.

    Args:
        grid: One array per row of the mosaic, each (columns, height, width, channels), values
            in [0, 1].

    Returns:
        A ``data:`` URL of a PNG with one pixel between images.
    """
    bands = [np.concatenate(list(_framed(images)), axis=1) for images in grid]
    pixels = np.concatenate(bands, axis=0)[:-1, :-1]
    levels = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels).save(
        content, "png", optimize=True
    )
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def _framed(images: FloatArray) -> NDArray[np.float32]:
    return np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=0.5)


def _figure(width_inches: float, height_inches: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Figure, salt: str) -> str:
    """Write a figure as an element of a page: no prologue, no date, identifiers of its own."""
    content = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(content, format="svg", transparent=True, dpi=110, metadata={"Date": None})
    text = content.getvalue()
    for written, shown in _PAGE_COLOURS.items():
        text = text.replace(written, shown)
    return text[text.index("<svg") :]
