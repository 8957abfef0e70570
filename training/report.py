"""One self-contained HTML page per run: what was trained, on what, and how well it works.

The page needs no script, no font and no file beside it, so it can be served under a policy that
forbids all three.
"""

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import NormalDist
from string import Template

import numpy as np
from sklearn.decomposition import PCA

from service.bundle.manifest import Metric
from service.inference.sampling import Prior, StandardNormal
from service.inference.scoring import threshold_at
from service.inference.session import FloatArray
from training.bundling import default_prior
from training.datasets import IntegerArray
from training.history import best_epoch
from training.metrics import false_positive_rates
from training.plots import curves, histograms, maps, rows
from training.scorers import scorer_named
from training.seeds import Stream, generator
from training.stages import Assessment, ExportedModel, HeldOutAnswers, TrainedModel

TEMPLATE = Path(__file__).with_name("report.html")
MOSAIC_COLUMNS = 16
MAX_CODE_POINTS = 4000
HEADLINES = (
    *("auroc", "denoised-psnr-db", "denoised-ssim", "binary-cross-entropy"),
    *("false-positive-rate-at-0.01", "rounded-accuracy", "mean-squared-error"),
)
ABBREVIATIONS = {"psnr db": "PSNR in dB", "ssim": "SSIM", "auroc": "AUROC"}
MAX_KEY_FIGURES = 5
SERIES_SHOWN = 8
SAMPLE_SIDE = 10
PLANE_SIDE = 15
PLANE_QUANTILES = (0.005, 0.995)


def render_report(model: TrainedModel, exported: ExportedModel, assessment: Assessment) -> str:
    """Write the page.

    Args:
        model: The trained model and its data.
        exported: Its graphs.
        assessment: What is known of it.

    Returns:
        HTML without any reference to the outside.
    """
    recipe = model.recipe
    seconds = sum(record.seconds for record in model.history)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=escape(recipe.name),
        description=escape(recipe.description),
        mosaic_width=MOSAIC_COLUMNS * 60,
        key_figures="\n".join(_key_figures(assessment.metrics)),
        panels="\n".join(_panels(model, exported, assessment)),
        metrics="\n".join(_metric_row(metric) for metric in assessment.metrics),
        data="\n".join(_data_rows(model)),
        recipe=escape(json.dumps(recipe.to_json(), indent=2)),
        footer=f"Trained for {len(model.history)} epochs in {seconds:.0f} seconds.",
    )


def _key_figures(metrics: Sequence[Metric]) -> Iterable[str]:
    ranked = [metric for metric in metrics if metric.published is not None]
    for name in HEADLINES:
        ranked += [metric for metric in metrics if metric.name == name and metric.split == "test"]
    chosen = {(metric.name, metric.split): metric for metric in ranked}
    for metric in list(chosen.values())[:MAX_KEY_FIGURES]:
        published = "" if metric.published is None else f", published {metric.published:g}"
        label = f"{_words(metric.name)}, {metric.split}{published}"
        yield f"<div><b>{metric.value:.4g}</b><span>{escape(label)}</span></div>"


def _panels(model: TrainedModel, exported: ExportedModel, assessment: Assessment) -> Iterable[str]:
    yield _panel(
        "Objective by epoch",
        "What training minimises, over the rows it learns from and over rows it does not.",
        curves.loss_curves(model.history, best_epoch(model.history).epoch),
    )
    yield _score_panel(model, assessment)
    yield _reconstruction_panel(model, assessment.answers)
    yield _code_panel(model, assessment.answers.codes)
    yield _sample_panel(model, exported, assessment)
    if model.autoencoder.variational and model.autoencoder.code_shape == (2,):
        yield _plane_panel(model, exported)


def _score_panel(model: TrainedModel, assessment: Assessment) -> str:
    anomaly = model.recipe.anomaly
    score = anomaly.scores[0]
    calibration, answers = assessment.calibration[score], assessment.answers
    groups = {
        "calibration rows": calibration,
        "normal test rows": answers.scores[score][~answers.abnormal],
    }
    if answers.abnormal.any():
        groups["abnormal test rows"] = answers.scores[score][answers.abnormal]
    rates = false_positive_rates(anomaly.default_false_positive_rate)
    thresholds = {rate: threshold_at(rate, calibration) for rate in rates}
    scorer = scorer_named(score)
    return _panel(
        f"Anomaly score: {_words(score)}",
        f"{scorer.description} Dotted: thresholds by false-positive rate.",
        histograms.score_histogram(groups, thresholds, scorer.units),
    )


def _reconstruction_panel(model: TrainedModel, answers: HeldOutAnswers) -> str:
    test, spec = model.split.test, model.dataset.input
    if spec.kind != "image":
        chosen = _class_by_class(test.labels, SERIES_SHOWN)
        panels = [
            (
                model.dataset.classes[test.labels[row]],
                {"test row": test.rows[row], "reconstruction": answers.outputs[row]},
            )
            for row in chosen
        ]
        note = f"Test rows and what comes back through the code; {spec.units}."
        return _panel(
            "Reconstructions", note, rows.series_panels(panels, "reconstructions"), wide=True
        )
    chosen = _class_by_class(test.labels, MOSAIC_COLUMNS)
    if answers.corrupted is None or answers.denoised is None:
        grid = [test.rows[chosen], answers.outputs[chosen]]
        title, note = "Reconstructions", "Test rows, and below what comes back through the code."
    else:
        grid = [answers.corrupted[chosen], answers.denoised[chosen], test.rows[chosen]]
        title, note = "Denoising", "From above: with noise, denoised, and the clean test rows."
    return _panel(title, note, _image(rows.image_mosaic(grid), title.lower()), wide=True)


def _code_panel(model: TrainedModel, test_codes: FloatArray) -> str:
    codes = test_codes.reshape(len(test_codes), -1)
    chosen = np.linspace(0, len(codes) - 1, min(len(codes), MAX_CODE_POINTS)).astype(int)
    points, axis, note = codes[chosen], "code", "Codes of test rows by class."
    if codes.shape[1] > 2:
        plane = PCA(2, random_state=0)
        points, axis = plane.fit_transform(points), "principal component"
        note = (
            f"Codes of test rows by class: two principal components of {codes.shape[1]} dimensions,"
            f" {plane.explained_variance_ratio_.sum():.0%} of their variance."
        )
    labels = model.split.test.labels[chosen]
    return _panel("Code map", note, maps.code_map(points, labels, model.dataset.classes, axis))


def _sample_panel(model: TrainedModel, exported: ExportedModel, assessment: Assessment) -> str:
    mixture = assessment.density.mixture
    variational, shape = model.autoencoder.variational, model.autoencoder.code_shape
    prior: Prior = StandardNormal(mixture.dimensions) if variational else mixture
    count = SERIES_SHOWN if model.dataset.input.kind != "image" else SAMPLE_SIDE**2
    codes = prior.draw(count, generator(model.recipe.seed, Stream.ILLUSTRATION))
    samples = exported.decode(codes.reshape(count, *shape))
    note = (
        f"Decoded draws from the default prior, {_words(default_prior(variational=variational))}."
        f" The mixture of codes has {assessment.density.components} components by the Bayesian"
        " information criterion."
    )
    if model.dataset.input.kind != "image":
        panels = [(f"draw {number}", {"draw": row}) for number, row in enumerate(samples, 1)]
        return _panel("Samples", note, rows.series_panels(panels, "samples"))
    grid = samples.reshape(SAMPLE_SIDE, SAMPLE_SIDE, *samples.shape[1:])
    return _panel("Samples", note, _image(rows.image_mosaic(list(grid)), "samples", "square"))


def _plane_panel(model: TrainedModel, exported: ExportedModel) -> str:
    low, high = PLANE_QUANTILES
    quantiles = np.linspace(low, high, PLANE_SIDE)
    axis = np.array([NormalDist().inv_cdf(quantile) for quantile in quantiles], np.float32)
    across, up = np.meshgrid(axis, axis[::-1])
    decoded = exported.decode(np.stack([across.ravel(), up.ravel()], axis=1))
    grid = decoded.reshape(PLANE_SIDE, PLANE_SIDE, *model.dataset.input.shape)
    return _panel(
        "The code plane, decoded",
        f"Codes at the normal quantiles from {low:g} to {high:g} along both axes.",
        _image(rows.image_mosaic(list(grid)), "decoded grid", "square"),
    )


def _class_by_class(labels: IntegerArray, count: int) -> list[int]:
    """Pick rows class by class in turn, each the next of its class."""
    by_class = [list(np.flatnonzero(labels == label)[:count]) for label in np.unique(labels)]
    turns = [rows[turn] for turn in range(count) for rows in by_class if turn < len(rows)]
    return [int(row) for row in turns[:count]]


def _metric_row(metric: Metric) -> str:
    published = "" if metric.published is None else f"{metric.published:g}"
    return (
        f"<tr><td>{escape(_words(metric.name))}</td><td>{metric.split}</td>"
        f'<td class="number">{metric.rows}</td><td class="number">{metric.value:.5g}</td>'
        f'<td class="number">{published}</td><td>{escape(metric.note or "")}</td></tr>'
    )


def _data_rows(model: TrainedModel) -> Iterable[str]:
    dataset = model.dataset
    counts = ", ".join(f"{name} {len(part)}" for name, part in model.split.parts().items())
    for name, value in (
        ("name", dataset.title),
        ("rows", counts),
        ("one row", f"{dataset.input.kind} of shape {dataset.input.shape}"),
        ("source", dataset.source),
        ("licence", dataset.licence),
        ("attribution", dataset.attribution),
        ("SHA-256", dataset.sha256),
    ):
        yield f'<tr><th>{name}</th><td class="word">{escape(value)}</td></tr>'


def _panel(title: str, note: str, picture: str, *, wide: bool = False) -> str:
    kind = ' class="wide"' if wide else ""
    return f"<section{kind}><h2>{escape(title)}</h2>\n<p>{escape(note)}</p>\n{picture}</section>"


def _image(url: str, text: str, kind: str = "mosaic") -> str:
    return f'<img class="{kind}" alt="{escape(text)}" src="{url}">'


def _words(name: str) -> str:
    words = name.replace("-", " ")
    for short, long in ABBREVIATIONS.items():
        words = words.replace(short, long)
    return words
