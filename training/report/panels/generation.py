"""Panels of generation: samples, the decoded plane or line of codes, paths between rows."""

from collections.abc import Iterable
from statistics import NormalDist

import numpy as np

from service.inference.sampling import Prior, StandardNormal
from training.arrays import FloatArray
from training.evaluation.priors import GAUSSIAN_MIXTURE, STANDARD_NORMAL, default_prior
from training.report.panels.panel import Panel, image_element, readable_name
from training.report.panels.subject import Subject
from training.report.plots.curves import criterion_curve
from training.report.plots.rows import image_mosaic, plane_points, series_panels
from training.seeds import Stream, generator

IMAGES_A_SIDE = 10
SERIES_DRAWN = 8
POINTS_DRAWN = 1000
PLANE_SIDE = 15
SERIES_PLANE_SIDE = 4
LINE_POINTS = 200
LINE_IMAGES = 16
QUANTILES = (0.005, 0.995)
PATHS = 4
PATH_STEPS = 11
SERIES_PATH_STEPS = 4


def generation_panels(subject: Subject) -> Iterable[Panel]:
    """Show samples, the decoded plane or line of one or two units, and paths between rows."""
    mixture = subject.exported.density.mixture
    priors: dict[str, Prior] = {GAUSSIAN_MIXTURE: mixture}
    if subject.variational:
        priors = {STANDARD_NORMAL: StandardNormal(mixture.dimensions), **priors}
    for name, prior in priors.items() if _is_drawable(subject) else ():
        yield _sample_panel(subject, name, prior)
    units = subject.codes.shape[1]
    if units == 2 and subject.kind != "tabular":
        yield _plane_panel(subject)
    yield _mixture_panel(subject)
    if units == 1 and _is_drawable(subject):
        yield _line_panel(subject)
    if subject.kind != "tabular":
        yield _path_panel(subject)


def _is_drawable(subject: Subject) -> bool:
    """Return whether rows can be drawn: rows of one column cannot."""
    return subject.kind != "tabular" or len(subject.column_names()) > 1


def _sample_panel(subject: Subject, name: str, prior: Prior) -> Panel:
    counts = {"image": IMAGES_A_SIDE**2, "series": SERIES_DRAWN, "tabular": POINTS_DRAWN}
    random = generator(subject.model.recipe.seed, Stream.ILLUSTRATION)
    samples = subject.decode(prior.draw(counts[subject.kind], random))
    is_default = name == default_prior(variational=subject.variational)
    default = ", the default prior" if is_default else ""
    note = f"Decoded draws from the {readable_name(name)}{default}."
    title = f"Samples: {readable_name(name)}"
    if subject.kind == "image":
        grid = samples.reshape(IMAGES_A_SIDE, IMAGES_A_SIDE, *samples.shape[1:])
        return Panel(title, note, image_element(image_mosaic(list(grid)), title.lower(), "square"))
    if subject.kind == "series":
        columns = [(f"draw {number}", {"draw": row}) for number, row in enumerate(samples, 1)]
        return Panel(title, note, series_panels(columns, title.lower()), wide=True)
    names = subject.column_names()
    chosen = subject.thinned_test_rows(POINTS_DRAWN)
    groups = {"test rows": subject.test_rows[chosen, :2], "samples": samples[:, :2]}
    return Panel(title, note, plane_points(groups, (names[0], names[1]), title.lower()))


def _mixture_panel(subject: Subject) -> Panel:
    density = subject.exported.density
    projection = density.mixture.projection_components
    where = ""
    if projection is not None:
        where = (
            f" It is fitted in {len(projection)} principal dimensions of {subject.codes.shape[1]},"
            f" with {density.explained_variance:.1%} of the variance."
        )
    return Panel(
        "Size of the mixture",
        "The Bayesian information criterion of mixtures fitted to training codes, lower is"
        f" better: {density.components} components.{where}",
        criterion_curve(density.criteria, density.components),
    )


def _plane_panel(subject: Subject) -> Panel:
    side = PLANE_SIDE if subject.kind == "image" else SERIES_PLANE_SIDE
    low, high = QUANTILES
    if subject.variational:
        steps = [NormalDist().inv_cdf(quantile) for quantile in np.linspace(low, high, side)]
        horizontal = vertical = np.array(steps, np.float32)
        note = f"Codes at the normal quantiles from {low:g} to {high:g} along both axes."
    else:
        ends: np.ndarray = np.quantile(subject.codes, QUANTILES, axis=0)
        horizontal, vertical = np.linspace(ends[0], ends[1], side).astype(np.float32).T
        note = (
            f"Codes in even steps, from {ends[0][0]:.3g} to {ends[1][0]:.3g} across and from"
            f" {ends[0][1]:.3g} to {ends[1][1]:.3g} upwards: the range of 99 % of test rows."
        )
    across, up = np.meshgrid(horizontal, vertical[::-1])
    decoded = subject.decode(np.stack([across.ravel(), up.ravel()], axis=1))
    title = "The code plane, decoded"
    if subject.kind == "image":
        mosaic = image_mosaic(list(decoded.reshape(side, side, *decoded.shape[1:])))
        return Panel(title, note, image_element(mosaic, title.lower(), "square"))
    columns = [
        (f"({x:.2g}, {y:.2g})", {"decoded": row})
        for x, y, row in zip(across.ravel(), up.ravel(), decoded, strict=True)
    ]
    return Panel(title, note, series_panels(columns, title.lower()), wide=True)


def _line_panel(subject: Subject) -> Panel:
    low, high = (float(end) for end in np.quantile(subject.codes, QUANTILES))
    title = "The code line, decoded"
    note = f"Codes in even steps from {low:.3g} to {high:.3g}, the range of 99 % of test rows."

    def decoded(points: int) -> FloatArray:
        return subject.decode(np.linspace(low, high, points, dtype=np.float32)[:, np.newaxis])

    if subject.kind == "image":
        mosaic = image_mosaic([decoded(LINE_IMAGES)])
        return Panel(title, note, image_element(mosaic, title.lower(), "mosaic"), wide=True)
    if subject.kind == "series":
        codes = np.linspace(low, high, SERIES_DRAWN)
        rows = zip(codes, decoded(SERIES_DRAWN), strict=True)
        columns = [(f"code {code:.2g}", {"decoded": row}) for code, row in rows]
        return Panel(title, note, series_panels(columns, title.lower()), wide=True)
    names = subject.column_names()
    chosen = subject.thinned_test_rows(POINTS_DRAWN)
    groups = {
        "test rows": subject.test_rows[chosen, :2],
        "decoded codes": decoded(LINE_POINTS)[:, :2],
    }
    picture = plane_points(groups, (names[0], names[1]), title.lower(), joined=("decoded codes",))
    return Panel(title, note, picture)


def _path_panel(subject: Subject) -> Panel:
    """Interpolate linearly between two rows, in code space and in row space."""
    steps = PATH_STEPS if subject.kind == "image" else SERIES_PATH_STEPS
    fractions = np.linspace(0, 1, steps, dtype=np.float32)
    pictures: list[str] = []
    title = "Paths between rows"
    for start, end in _pairs(subject)[: PATHS if subject.kind == "image" else 2]:
        labels = np.where(fractions < 1 / 2, *subject.test_labels[[start, end]])
        of_codes = subject.decode(_blend(subject.codes, start, end, fractions), labels)
        of_rows = _blend(subject.test_rows, start, end, fractions)
        name = " to ".join(subject.classes[subject.test_labels[row]] for row in (start, end))
        if subject.kind == "image":
            framed = np.concatenate(
                [subject.test_rows[[start]], of_codes, subject.test_rows[[end]]]
            )
            blended = np.concatenate([of_rows[:1], of_rows, of_rows[-1:]])
            mosaic = image_mosaic([framed, blended])
            pictures.append(image_element(mosaic, f"path from {name}", "mosaic"))
            continue
        columns = [
            (f"{name}: {fraction:.0%}", {"of codes": decoded, "of values": blended})
            for fraction, decoded, blended in zip(fractions, of_codes, of_rows, strict=True)
        ]
        pictures.append(series_panels(columns, f"path from test row {start} to {end}"))
    note = (
        "Linear interpolation between two test rows: above of their codes, decoded, between the"
        " two rows; below of their pixels."
        if subject.kind == "image"
        else "Linear interpolation between two test rows, of their codes and of their values."
    )
    return Panel(title, note, "\n".join(pictures), wide=True)


def _pairs(subject: Subject) -> list[tuple[int, int]]:
    """Return pairs of test rows: first of one class, then of different classes."""
    labels = subject.test_labels
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    same = [(int(rows[0]), int(rows[-1])) for rows in by_class[::-1] if len(rows) > 1]
    others = [
        (int(first[0]), int(second[0]))
        for first, second in zip(by_class[::2], by_class[1::2], strict=False)
    ]
    return [*same[1:2], *others, *same[:1], *same[2:]]


def _blend(rows: FloatArray, start: int, end: int, fractions: FloatArray) -> FloatArray:
    weights = fractions.reshape(-1, *(1,) * (rows.ndim - 1))
    return (1 - weights) * rows[start] + weights * rows[end]
