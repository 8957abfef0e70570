"""Panels of reconstructions: test rows, noisy rows, rows with the largest errors."""

from collections.abc import Iterable, Sequence

import numpy as np

from training.arrays import FloatArray
from training.report.panels.panel import Panel, image_element
from training.report.panels.subject import Subject
from training.report.plots.rows import column_panels, image_mosaic, plane_points, series_panels

IMAGES_ACROSS = 16
SERIES_SHOWN = 8
COLUMNS_SHOWN = 8
TABLE_ROWS = 1500
PLANES = ((0, 1), (0, 2), (1, 2))


def reconstruction_panels(subject: Subject) -> Iterable[Panel]:
    """Show rows beside their reconstructions."""
    results = subject.assessment.results
    if subject.kind == "tabular":
        yield from _table_panels(subject)
        return
    chosen = subject.test_rows_class_by_class(
        IMAGES_ACROSS if subject.kind == "image" else SERIES_SHOWN
    )
    if results.corrupted is not None and results.denoised is not None:
        yield _rows_panel(
            subject,
            "Denoising",
            "From above: with the noise of training, denoised, and the clean test rows."
            if subject.kind == "image"
            else "Test rows with the noise of training, denoised and clean.",
            {
                "with noise": results.corrupted,
                "denoised": results.denoised,
                "clean": subject.test_rows,
            },
            chosen,
        )
    pair = {"test row": subject.test_rows, "reconstruction": results.reconstructions}
    if subject.kind == "image":
        note = "Test rows, and their reconstructions below."
    else:
        note = f"Test rows and their reconstructions; {_units(subject)}."
    yield _rows_panel(subject, "Reconstructions", note, pair, chosen)
    normal = np.flatnonzero(~results.abnormal)
    errors = np.square(subject.test_rows - results.reconstructions).reshape(
        len(subject.test_rows), -1
    )
    worst = normal[np.argsort(errors.mean(axis=1)[normal])[::-1]][: len(chosen)]
    note = "The normal test rows with the largest mean squared errors, in descending order."
    yield _rows_panel(subject, "Hardest rows", note, pair, worst.tolist())


def _rows_panel(
    subject: Subject,
    title: str,
    note: str,
    versions: dict[str, FloatArray],
    chosen: Sequence[int],
) -> Panel:
    if subject.kind == "image":
        mosaic = image_mosaic([rows[chosen] for rows in versions.values()])
        return Panel(title, note, image_element(mosaic, title.lower(), "mosaic"), wide=True)
    columns = [
        (
            subject.classes[subject.test_labels[row]],
            {name: rows[row] for name, rows in versions.items()},
        )
        for row in chosen
    ]
    return Panel(title, note, series_panels(columns, title.lower()), wide=True)


def _table_panels(subject: Subject) -> Iterable[Panel]:
    chosen = subject.thinned_test_rows(TABLE_ROWS)
    rows, outputs = subject.test_rows[chosen], subject.assessment.results.reconstructions[chosen]
    names = subject.column_names()
    if len(names) not in (2, 3):
        yield Panel(
            "Reconstructions by column",
            f"Reconstructed values over the values of test rows; {_units(subject)}.",
            column_panels(rows, outputs, names[:COLUMNS_SHOWN]),
            wide=True,
        )
        return
    for across, up in PLANES if len(names) > 2 else PLANES[:1]:
        groups = {"test rows": rows[:, [across, up]], "reconstructions": outputs[:, [across, up]]}
        title = f"Reconstructions: {names[across]} and {names[up]}"
        note = f"Test rows and their reconstructions; {_units(subject)}."
        yield Panel(title, note, plane_points(groups, (names[across], names[up]), title.lower()))


def _units(subject: Subject) -> str:
    return subject.model.data.input.units
