"""Did it learn: the objective by epoch, its terms, and the gates before publishing."""

from collections.abc import Iterable
from html import escape

from training.evaluation.assessment import GateResult
from training.fitting.history import published_epoch
from training.report.panels.panel import Panel, words
from training.report.panels.subject import Subject
from training.report.plots.curves import loss_curves, term_curves


def learning_panels(subject: Subject) -> Iterable[Panel]:
    """Show how training went, and what it came to."""
    history = subject.model.history
    kept = published_epoch(history, subject.model.recipe.training).epoch
    yield Panel(
        "Objective by epoch",
        "What training minimises, over the rows it learns from and over rows it does not.",
        loss_curves(history, kept),
    )
    if len(history[0].training) > 1:
        yield Panel(
            "Terms of the objective",
            "Each with its weight; what is minimised is their sum. Dashed: validation rows.",
            term_curves(history, kept),
        )
    if subject.assessment.gates:
        yield Panel(
            "Did it really learn?",
            "Asked of every run before it is published, and measured on normal test rows.",
            f'<ul class="gates">{"".join(map(_gate_item, subject.assessment.gates))}</ul>',
            wide=True,
        )


def _gate_item(gate: GateResult) -> str:
    waiver = f"<br>Published all the same: {escape(gate.waived)}" if gate.waived else ""
    bound = "" if gate.bound is None else f", to be {gate.side} {gate.bound:.4g}"
    return (
        f'<li class="{gate.state}"><b>{gate.state}</b>'
        f"<div><strong>{escape(gate.question)}</strong> {escape(gate.finding)}{waiver}"
        f"<small>{escape(words(gate.name))}: {gate.measured:.4g}{bound}</small></div></li>"
    )
