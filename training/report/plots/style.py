"""The style of all plots: SVG in the colors of the page, light or dark."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

# Placeholders in matplotlib's output, replaced by colors of the page's style sheet.
INK, LINE = "#010203", "#040506"
_PAGE_COLORS = {INK: "currentColor", LINE: "var(--line)"}
BLUE, ORANGE, GREEN, RED = "#3b82c4", "#d97a1e", "#2f9e6b", "#c9364f"
CLASS_COLORS = (
    *(BLUE, ORANGE, GREEN, RED, "#8a63c9"),
    *("#9a6b4b", "#d46aa8", "#7d8791", "#a8a420", "#22a3b5"),
)
# Widths in inches of a plot in half the page and across it, so that all text has one size.
HALF_WIDTH, FULL_WIDTH = 5.2, 11.0
_BITMAP_DPI = 110
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.edgecolor", "grid.color"), LINE),
}
_COUNTED_IDENTIFIER = re.compile(r' id="[A-Za-z0-9.]+_\d+"')


@contextmanager
def styled() -> Iterator[None]:
    """Draw and write figures in the style of the report."""
    with mpl.rc_context(_STYLE):
        yield


def new_axes(width_inches: float, height_inches: float) -> tuple[Figure, Axes]:
    """Start a figure of one pair of axes.

    Args:
        width_inches: ``HALF_WIDTH`` or ``FULL_WIDTH``.
        height_inches: Any.
    """
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    return figure, figure.subplots()


def new_panels(
    count: int, across: int, width_inches: float, row_inches: float, *, shared: bool = False
) -> tuple[Figure, list[Axes]]:
    """Start a figure of small panels, row by row.

    Args:
        count: Number of panels; the rest of the last row is empty.
        across: Panels in a row.
        width_inches: ``HALF_WIDTH`` or ``FULL_WIDTH``.
        row_inches: Height of a row.
        shared: All panels have the same limits.
    """
    down = -(-count // across)
    figure = Figure(figsize=(width_inches, row_inches * down), layout="constrained")
    panels = figure.subplots(down, across, sharex=shared, sharey=shared, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.set_axis_off()
    return figure, list(panels[:count])


def class_color(label: int) -> str:
    """Return the color of a class; ten colors in turn."""
    return CLASS_COLORS[label % len(CLASS_COLORS)]


def density_colors() -> LinearSegmentedColormap:
    """Return a color map from transparent to blue."""
    clear, full = (*to_rgb(BLUE), 0.0), (*to_rgb(BLUE), 1.0)
    return LinearSegmentedColormap.from_list("density", [clear, full])


def to_svg(figure: Figure, description: str) -> str:
    """Return a figure as an ``<svg>`` element, without prologue, date and duplicate identifiers.

    Args:
        figure: Drawn in the style of the report.
        description: Alternative text, unique within a page.
    """
    content = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": description}):
        figure.savefig(
            content, format="svg", transparent=True, dpi=_BITMAP_DPI, metadata={"Date": None}
        )
    text = content.getvalue()
    text = _COUNTED_IDENTIFIER.sub("", text[text.index("<svg") :])
    for written, shown in _PAGE_COLORS.items():
        text = text.replace(written, shown)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
