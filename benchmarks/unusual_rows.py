"""Rows of kinds that no model was trained on, made from normal rows: easy, far, or faulty."""

from collections.abc import Callable, Iterator

import numpy as np

from service.arrays import FloatArray

FAR = 10.0
FAULT_DEVIATIONS = 3.0

NamedRows = Iterator[tuple[str, FloatArray]]
Decode = Callable[[FloatArray], FloatArray]


def unusual_rows(rows: FloatArray, kind: str, seed: int) -> NamedRows:
    """Make rows of every kind from normal ones.

    Args:
        rows: Normal rows in raw units, (rows, *row shape).
        kind: Of the bundle's input: ``image``, ``series`` or ``tabular``.
        seed: Of the noise, and of where a fault is.

    Yields:
        Name of the kind, and its rows; one where all would be the same.
    """
    random = np.random.default_rng(seed)
    if kind == "image":
        yield from _images(rows, random)
    else:
        yield from _signals(rows, random, steps="step" if kind == "series" else "column")


def far_along_codes(codes: FloatArray, decode: Decode) -> FloatArray:
    """Decode codes that are 10 times as far from their mean as those of normal rows."""
    center = codes.mean(axis=0)
    return decode((center + FAR * (codes - center)).astype(np.float32))


def _images(images: FloatArray, random: np.random.Generator) -> NamedRows:
    for name, value in (("black", 0.0), ("grey", 0.5), ("white", 1.0)):
        yield name, np.full_like(images[:1], value)
    yield "uniform noise", random.random(images.shape, np.float32)
    yield "inverted", 1 - images
    yield "a fifth as bright", np.float32(0.2) * images
    yield "10 times as bright", FAR * images
    height, width = images.shape[1:3]
    yield "one pixel inverted", _inverted_squares(images, 1, random)
    yield "one square inverted", _inverted_squares(images, max(2, min(height, width) // 7), random)


def _inverted_squares(images: FloatArray, side: int, random: np.random.Generator) -> FloatArray:
    """Replace a square at a random place by what is farther away, black or white."""
    changed = images.copy()
    _, height, width, _ = images.shape
    for image in changed:
        top, left = random.integers(height - side + 1), random.integers(width - side + 1)
        square = image[top : top + side, left : left + side]
        square[...] = square < 0.5
    return changed


def _signals(rows: FloatArray, random: np.random.Generator, steps: str) -> NamedRows:
    """Change rows relative to mean and standard deviation of each channel or column."""
    axes = tuple(range(rows.ndim - 1))
    mean, deviation = rows.mean(axis=axes), rows.std(axis=axes)
    noise = random.uniform(-FAULT_DEVIATIONS, FAULT_DEVIATIONS, rows.shape)
    kinds = {
        "the mean": np.broadcast_to(mean, rows[:1].shape),
        "uniform noise": mean + deviation * noise,
        "half the amplitude": mean + (rows - mean) / 2,
        "10 times the amplitude": mean + FAR * (rows - mean),
    }
    for size in (FAULT_DEVIATIONS, FAULT_DEVIATIONS / 2):
        faulty = rows.reshape(len(rows), -1, rows.shape[-1]) + np.zeros(1, np.float32)
        flat = faulty.reshape(len(rows), -1)
        places = random.integers(flat.shape[1], size=len(rows))
        flat[np.arange(len(rows)), places] += (
            size * np.tile(deviation, flat.shape[1] // len(deviation))[places]
        )
        kinds[f"one {steps} plus {size:g} deviations"] = flat.reshape(rows.shape)
    for name, changed in kinds.items():
        yield name, changed.astype(np.float32)
