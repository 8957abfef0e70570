"""Maps of codes: rows as points of the plane, colored by class."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from training.arrays import FloatArray, IntegerArray
from training.report.plots.style import HALF_WIDTH, class_color, new_axes, styled, to_svg

_HEIGHT = 4.4
_SHOWN_PERCENTILES = (0.2, 99.8)
# Pixels of the bitmap of thumbnails; it has the proportions of the axes.
_CANVAS = (350, 450)
_THUMBNAIL_PIXELS = 28
_INK_EXPONENT = 0.7  # keeps dark parts of an image visible
_GLYPH_SIZE = (0.05, 0.045)  # of the axes
_GLYPH_STEPS = 36

Limits = tuple[FloatArray, FloatArray]


def code_map(
    points: FloatArray,
    labels: IntegerArray,
    classes: Sequence[str],
    axis_name: str,
    thumbnails: FloatArray | None = None,
) -> str:
    """Draw codes in the plane, colored by class.

    Args:
        points: Shape (rows, 2).
        labels: Class of each point, (rows,).
        classes: Names of the classes.
        axis_name: Label of the axes.
        thumbnails: The rows themselves: images, (rows, height, width, channels) in [0, 1], or
            series, (rows, steps, channels). Drawn where there is room, in the color of the class.

    Returns:
        An ``<svg>`` element; points and images in it are bitmaps.
    """
    low, high = np.percentile(points, _SHOWN_PERCENTILES, axis=0)
    margin = 0.06 * (high - low) + 1e-6
    limits = low - margin, high + margin
    with styled():
        figure, axes = new_axes(HALF_WIDTH, _HEIGHT)
        size = 14 if len(points) < 1000 else 5
        alpha = 0.6 if thumbnails is None else 0.25
        # All classes in one layer, in the order of rows, so that no class covers another.
        colors = [class_color(label) for label in labels]
        axes.scatter(*points.T, s=size, alpha=alpha, c=colors, linewidths=0, rasterized=True)
        for label in np.unique(labels):
            axes.scatter([], [], s=28, color=class_color(label), label=classes[label])
        if thumbnails is not None and thumbnails.ndim == 4:
            canvas = image_canvas(_fractions(points, limits), labels, thumbnails)
            extent = (limits[0][0], limits[1][0], limits[0][1], limits[1][1])
            axes.imshow(canvas, extent=extent, aspect="auto", interpolation="none", zorder=3)
        elif thumbnails is not None:
            _draw_series(axes, _fractions(points, limits), labels, thumbnails)
        axes.set(
            xlim=(limits[0][0], limits[1][0]),
            ylim=(limits[0][1], limits[1][1]),
            xlabel=f"{axis_name} 1",
            ylabel=f"{axis_name} 2",
        )
        # Below the map, so that maps next to each other have the same size.
        figure.legend(loc="outside lower center", ncols=5, handletextpad=0.1, columnspacing=1.2)
        kind = "points" if thumbnails is None else "thumbnails"
        return to_svg(figure, f"map of codes by {axis_name}, {kind}")


def _fractions(points: FloatArray, limits: Limits) -> NDArray[np.float64]:
    """Return positions in the axes, from (0, 0) at the lower left to (1, 1) at the upper right."""
    return (points.astype(np.float64) - limits[0]) / (limits[1] - limits[0])


def spread_out(places: NDArray[np.float64], size: tuple[float, float]) -> list[int]:
    """Choose points in order, so that boxes of ``size`` around them do not overlap."""
    chosen: list[int] = []
    half = np.array(size) / 2
    inside = np.all((places > half) & (places < 1 - half), axis=1)
    for index in np.flatnonzero(inside):
        offsets = np.abs(places[chosen] - places[index])
        if not np.any(np.all(offsets < np.array(size), axis=1)):
            chosen.append(int(index))
    return chosen


def image_canvas(
    places: NDArray[np.float64], labels: IntegerArray, images: FloatArray
) -> NDArray[np.uint8]:
    """Draw images on a transparent canvas: gray ones as ink in the color of their class.

    Returns:
        Red, green, blue and alpha, (*_CANVAS, 4).
    """
    zoom = max(1, _THUMBNAIL_PIXELS // max(images.shape[1:3]))
    high, wide = images.shape[1] * zoom, images.shape[2] * zoom
    canvas = np.zeros((*_CANVAS, 4), np.uint8)
    for index in spread_out(places, (wide / _CANVAS[1], high / _CANVAS[0])):
        across, up = places[index]
        left = round(across * _CANVAS[1] - wide / 2)
        top = round((1 - up) * _CANVAS[0] - high / 2)
        tile = np.kron(images[index], np.ones((zoom, zoom, 1), np.float32))
        inked = np.empty((high, wide, 4), np.float64)
        inked[..., :3] = to_rgb(class_color(labels[index])) if tile.shape[-1] == 1 else tile
        inked[..., 3:] = tile**_INK_EXPONENT if tile.shape[-1] == 1 else 1.0
        place = canvas[top : top + high, left : left + wide]
        place[:] = np.round(255 * np.clip(inked[: place.shape[0], : place.shape[1]], 0, 1))
    return canvas


def _draw_series(
    axes: Axes, places: NDArray[np.float64], labels: IntegerArray, series: FloatArray
) -> None:
    """Draw the first channel of series as small lines, all on one scale."""
    steps = np.linspace(0, series.shape[1] - 1, min(series.shape[1], _GLYPH_STEPS)).astype(int)
    chosen = spread_out(places, _GLYPH_SIZE)
    heights = series[chosen][:, steps, 0]
    low, high = np.percentile(heights, (0.5, 99.5)) if chosen else (0.0, 1.0)
    heights = np.clip((heights - low) / max(high - low, 1e-12), 0, 1) - 0.5
    across = np.linspace(-0.5, 0.5, len(steps))
    lines = [
        np.stack([place[0] + across * _GLYPH_SIZE[0], place[1] + height * _GLYPH_SIZE[1]], axis=1)
        for place, height in zip(places[chosen], heights, strict=True)
    ]
    colors = [class_color(label) for label in labels[chosen]]
    axes.add_collection(
        LineCollection(lines, colors=colors, linewidths=0.9, transform=axes.transAxes)
    )
