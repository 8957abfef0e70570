"""Plots of rows: images in mosaics, series in small panels, tables in the plane."""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.arrays import FloatArray
from training.report.plots.style import (
    BLUE,
    FULL_WIDTH,
    GREEN,
    HALF_WIDTH,
    ORANGE,
    RED,
    new_axes,
    new_panels,
    styled,
    to_svg,
)

_SERIES_COLORS = (BLUE, ORANGE, RED, GREEN)
_PANELS_ACROSS = 4
_VECTOR_POINTS = 200  # more points are smaller as a bitmap


def image_mosaic(grid: Sequence[FloatArray]) -> str:
    """Place images side by side in rows.

    Args:
        grid: One array per row of the mosaic, each (columns, height, width, channels), values
            in [0, 1].

    Returns:
        A ``data:`` URL of a PNG with one pixel between images.
    """
    bands = [np.concatenate(list(_framed(images)), axis=1) for images in grid]
    pixels = np.concatenate(bands, axis=0)[:-1, :-1]
    levels = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return png_url(levels[..., 0] if levels.shape[-1] == 1 else levels)


def png_url(levels: NDArray[np.uint8]) -> str:
    """Return pixels as a ``data:`` URL: (height, width) is gray, a third axis color and alpha."""
    content = io.BytesIO()
    Image.fromarray(levels).save(content, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def series_panels(columns: Sequence[tuple[str, Mapping[str, FloatArray]]], description: str) -> str:
    """Draw series in small panels, several lines in each.

    Args:
        columns: Title of each panel, and its lines by name, each (steps, channels).
        description: Alternative text.

    Returns:
        An ``<svg>`` element.
    """
    with styled():
        figure, panels = new_panels(len(columns), _PANELS_ACROSS, FULL_WIDTH, 1.55, shared=True)
        for panel, (title, lines) in zip(panels, columns, strict=True):
            for (name, values), color in zip(lines.items(), _SERIES_COLORS, strict=False):
                panel.plot(values, color=color, linewidth=1.2, label=name)
            panel.set_title(title)
        handles, names = panels[0].get_legend_handles_labels()
        if len(names) > 1:
            figure.legend(handles, names, loc="outside upper right", ncols=len(names))
        return to_svg(figure, description)


def plane_points(
    groups: Mapping[str, FloatArray],
    axes_names: tuple[str, str],
    description: str,
    *,
    joined: Sequence[str] = (),
) -> str:
    """Draw points of the plane in several groups.

    Args:
        groups: Points by name of the group, each (points, 2).
        axes_names: Labels of the axes.
        description: Alternative text.
        joined: Groups that are drawn as lines.

    Returns:
        An ``<svg>`` element.
    """
    with styled():
        figure, axes = new_axes(HALF_WIDTH, 3.6)
        for (name, points), color in zip(groups.items(), _SERIES_COLORS, strict=False):
            if name in joined:
                axes.plot(*points.T, color=color, label=name)
            else:
                many = len(points) > _VECTOR_POINTS
                axes.scatter(*points.T, s=9, color=color, alpha=0.6, linewidths=0, rasterized=many)
                axes.scatter([], [], s=18, color=color, label=name)
        axes.set(xlabel=axes_names[0], ylabel=axes_names[1])
        figure.legend(loc="outside upper right", ncols=len(groups))
        return to_svg(figure, description)


def column_panels(rows: FloatArray, reconstructions: FloatArray, names: Sequence[str]) -> str:
    """Draw reconstructed values over given values, for each column of a table.

    Args:
        rows: Shape (rows, columns).
        reconstructions: The same shape.
        names: Of the columns.

    Returns:
        An ``<svg>`` element; exact reconstructions are on the dotted line.
    """
    with styled():
        figure, panels = new_panels(len(names), _PANELS_ACROSS, FULL_WIDTH, 2.6)
        for column, (panel, name) in enumerate(zip(panels, names, strict=True)):
            values, returned = rows[:, column], reconstructions[:, column]
            ends = [float(values.min()), float(values.max())]
            panel.plot(ends, ends, color=ORANGE, linewidth=0.9, linestyle=":")
            panel.scatter(
                values, returned, s=7, color=BLUE, alpha=0.5, linewidths=0, rasterized=True
            )
            panel.set_title(name)
        return to_svg(figure, "reconstructed over given values by column")


def _framed(images: FloatArray) -> NDArray[np.float32]:
    return np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=0.5)
