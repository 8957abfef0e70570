"""The report of a run: one self-contained HTML page.

The page has no scripts, fonts or external files, so that it can be served under a
Content-Security-Policy that forbids them.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from service.bundle.manifest import Metric
from training.evaluation.assessment import Assessment
from training.export.exported_model import ExportedModel
from training.fitting.trained_model import TrainedModel
from training.report.panels.codes import code_panels
from training.report.panels.detection import detection_panels
from training.report.panels.generation import generation_panels
from training.report.panels.learning import learning_panels
from training.report.panels.panel import Panel, arranged, readable_name, table_element
from training.report.panels.reconstructions import reconstruction_panels
from training.report.panels.subject import Subject

TEMPLATE = Path(__file__).with_name("page.html")
HEADLINES = (
    *("auroc", "denoised-psnr-db", "denoised-ssim", "binary-cross-entropy"),
    *("false-positive-rate-at-0.01", "rounded-accuracy", "mean-squared-error"),
)
MAX_KEY_FIGURES = 5


@dataclass(frozen=True)
class Chapter:
    """Panels that answer one question.

    Attributes:
        anchor: Fragment of the page's address.
        title: Heading.
        panels: Returns the panels that apply to a run, in order.
    """

    anchor: str
    title: str
    panels: Callable[[Subject], Iterable[Panel]]


CHAPTERS = (
    Chapter("learning", "Learning", learning_panels),
    Chapter("reconstruction", "Reconstruction", reconstruction_panels),
    Chapter("codes", "Codes", code_panels),
    Chapter("generation", "Generation", generation_panels),
    Chapter("anomalies", "Anomalies", detection_panels),
)


def render_report(model: TrainedModel, exported: ExportedModel, assessment: Assessment) -> str:
    """Write the page.

    Args:
        model: The trained model and its data.
        exported: Its graphs.
        assessment: What was measured of it.

    Returns:
        HTML without references to other files.
    """
    recipe = model.recipe
    seconds = sum(record.seconds for record in model.history)
    subject = Subject(model, exported, assessment)
    chapters = (*CHAPTERS, Chapter("figures", "Figures and provenance", _provenance_panels))
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=escape(recipe.name),
        description=escape(recipe.description),
        links="\n".join(f'<a href="#{part.anchor}">{escape(part.title)}</a>' for part in chapters),
        key_figures="\n".join(_key_figures(assessment.metrics)),
        chapters="\n".join(_chapter(part, subject) for part in chapters),
        footer=f"Trained for {len(model.history)} epochs in {seconds:.0f} seconds.",
    )


def _chapter(chapter: Chapter, subject: Subject) -> str:
    panels = "\n".join(panel.to_html() for panel in arranged(chapter.panels(subject)))
    return (
        f'<section id="{chapter.anchor}"><h2>{escape(chapter.title)}</h2>\n'
        f'<div class="panels">\n{panels}\n</div></section>'
    )


def _key_figures(metrics: Sequence[Metric]) -> Iterable[str]:
    ranked = [metric for metric in metrics if metric.published is not None]
    for name in HEADLINES:
        ranked += [metric for metric in metrics if metric.name == name and metric.split == "test"]
    chosen = {(metric.name, metric.split): metric for metric in ranked}
    for metric in list(chosen.values())[:MAX_KEY_FIGURES]:
        published = "" if metric.published is None else f", published {metric.published:g}"
        label = f"{readable_name(metric.name)}, {metric.split}{published}"
        yield f"<div><b>{metric.value:.4g}</b><span>{escape(label)}</span></div>"


def _provenance_panels(subject: Subject) -> Iterable[Panel]:
    rows = [
        (
            readable_name(metric.name),
            metric.split,
            metric.rows,
            float(metric.value),
            "" if metric.published is None else f"{metric.published:g}",
            metric.note or "",
        )
        for metric in subject.assessment.metrics
    ]
    yield Panel(
        "Figures",
        "Measured through the graphs of this bundle; published figures are those that others"
        " report for this system.",
        table_element(["metric", "part", "rows", "measured", "published", "note"], rows),
        wide=True,
    )
    yield Panel("Data", "The parts have no row in common.", _data_table(subject))
    yield _network_panel(subject)
    recipe = escape(json.dumps(subject.model.recipe.to_json(), indent=2))
    note = "The configuration of this run, defaults included."
    yield Panel("Recipe", note, f"<pre>{recipe}</pre>", wide=True)


def _network_panel(subject: Subject) -> Panel:
    stacks = {"encoder": subject.model.autoencoder.encoder}
    stacks["decoder"] = subject.model.autoencoder.decoder
    rows = [
        (stack, type(layer).__name__, " by ".join(map(str, layer.output.shape[1:])), count)
        for stack, model in stacks.items()
        for layer in model.layers
        if (count := layer.count_params()) or layer is model.layers[-1]
    ]
    total = sum(model.count_params() for model in stacks.values())
    return Panel(
        "Network",
        f"Layers with weights, and the last of each part: {total:,} weights in all.",
        table_element(["part", "layer", "output", "weights"], rows),
    )


def _data_table(subject: Subject) -> str:
    data, split = subject.model.data, subject.model.split
    facts = {
        "name": data.title,
        "rows": ", ".join(f"{name} {len(part)}" for name, part in split.parts().items()),
        "one row": f"{data.input.kind} of shape {data.input.shape}",
        "units": data.input.units,
        "source": data.origin,
        "licence": data.licence,
        "attribution": data.attribution,
        "SHA-256": data.sha256,
    }
    lines = (
        f'<tr><th>{name}</th><td class="word">{escape(value)}</td></tr>'
        for name, value in facts.items()
    )
    return f"<table>{''.join(lines)}</table>"
