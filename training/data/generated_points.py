"""Points near a curve and near a plane: data whose best codes are known beforehand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from training.arrays import FloatArray
from training.seeds import Stream, generator

POINTS = 4000
CURVE_RANGE = (-2.2, 2.2)
CURVE_NOISE = 0.06
PLANE_NORMAL = (-0.3, 0.2, 1.0)
PLANE_DEVIATIONS = (1.0, 0.6)
PLANE_NOISE = 0.1


@dataclass(frozen=True)
class GeneratedPoints:
    """Points, and what they are.

    Attributes:
        title: Name for people.
        columns: Names of the coordinates.
        rows: Shape (points, columns), float32.
    """

    title: str
    columns: tuple[str, ...]
    rows: FloatArray


def sine_points(seed: int) -> GeneratedPoints:
    """Draw points (x, sin x) with x uniform in [-2.2, 2.2] and normal noise 0.06 on both.

    One code is enough for them, but not one linear code.

    Args:
        seed: The same seed gives the same points.
    """
    random = generator(seed, Stream.DATA)
    x = random.uniform(*CURVE_RANGE, POINTS)
    points = np.stack([x, np.sin(x)], axis=1)
    noisy = points + random.normal(0.0, CURVE_NOISE, points.shape)
    return GeneratedPoints("Sine curve with noise", ("x", "y"), noisy.astype(np.float32))


def plane_points(seed: int) -> GeneratedPoints:
    """Draw points of a tilted plane, normal along it, with normal noise 0.1 in all directions.

    Along the plane they deviate by 1 in one direction and by 0.6 in the other, so that PCA has
    one answer. The plane has the normal (-0.3, 0.2, 1) and holds the origin.

    Args:
        seed: The same seed gives the same points.
    """
    random = generator(seed, Stream.DATA)
    normal = np.array(PLANE_NORMAL) / np.linalg.norm(PLANE_NORMAL)
    first = np.cross(normal, (0.0, 1.0, 0.0))
    first /= np.linalg.norm(first)
    axes = np.stack([first, np.cross(normal, first)])  # (2, 3), orthonormal
    along = random.normal(0.0, PLANE_DEVIATIONS, (POINTS, 2))
    points = along @ axes + random.normal(0.0, PLANE_NOISE, (POINTS, 3))
    return GeneratedPoints("Plane with noise", ("x", "y", "z"), points.astype(np.float32))


GENERATORS: Mapping[str, Callable[[int], GeneratedPoints]] = {
    "sine": sine_points,
    "plane": plane_points,
}
